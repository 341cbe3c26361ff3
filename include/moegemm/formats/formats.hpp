/// \file
/// All element and scale formats of the op.
#pragma once

#include <moegemm/formats/bf16.hpp>
#include <moegemm/formats/e2m1.hpp>
#include <moegemm/formats/e4m3.hpp>
#include <moegemm/formats/e5m2.hpp>
#include <moegemm/formats/f16.hpp>
#include <moegemm/formats/ue4m3.hpp>
#include <moegemm/formats/ue8m0.hpp>
