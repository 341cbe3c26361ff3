/// \file
/// What the library offers to C callers.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <moegemm/abi.h>
#include <moegemm/error.hpp>
#include <moegemm/plugin.hpp>

#include "provider/abi_spec.hpp"
#include "provider/last_error.hpp"

namespace moegemm {
namespace {

struct CProblem {
    Problem problem;
    moegemm_spec spec{};  ///< its texts are literals
};

/// The built-in providers as tables, made at the first call and never destroyed: C callers keep plans until the end.
const std::vector<std::unique_ptr<ExportedProvider>>& builtin_tables() {
    static const auto* tables = [] {
        auto made = std::make_unique<std::vector<std::unique_ptr<ExportedProvider>>>();
        for (const auto& provider : Registry::with_builtin().providers()) {
            made->push_back(std::make_unique<ExportedProvider>(provider));
        }
        return made.release();
    }();
    return *tables;
}

}  // namespace
}  // namespace moegemm

std::uint32_t moegemm_abi_version(void) { return MOEGEMM_ABI_VERSION; }

const moegemm_error* moegemm_last_error(void) { return moegemm::last_error(); }

moegemm_status moegemm_find_provider(const char* name, const moegemm_provider** provider) {
    using namespace moegemm;
    return guarded([&] {
        *require(provider, "provider") = nullptr;
        const std::string_view wanted = require(name, "name");
        std::string names;
        for (const auto& exported : builtin_tables()) {
            if (wanted == exported->table()->name) {
                *provider = exported->table();
                return;
            }
            names += names.empty() ? "one of " : ", ";
            names += exported->table()->name;
        }
        throw Error(ErrorCode::invalid_argument, "provider", std::string(wanted), names);
    });
}

moegemm_status moegemm_problem_create(const char* const* keys, const char* const* values, std::size_t count,
                                      const char* routing, std::uint64_t seed, moegemm_problem** problem) {
    using namespace moegemm;
    return guarded([&] {
        *require(problem, "problem") = nullptr;
        if (count > 0) {
            require(keys, "keys");
            require(values, "values");
        }
        std::vector<std::pair<std::string, ArgumentValue>> pairs;
        for (std::size_t i = 0; i < count; ++i) {
            pairs.emplace_back(require(keys[i], fmt::format("keys[{}]", i)),
                               parse_argument_value(require(values[i], fmt::format("values[{}]", i))));
        }
        Problem made = Problem::from(Arguments::from(pairs, nullptr),
                                     Routing::parse(routing == nullptr ? "balanced" : routing, seed));
        const moegemm_spec spec = to_abi(made.spec());
        *problem = reinterpret_cast<moegemm_problem*>(new CProblem{std::move(made), spec});
    });
}

void moegemm_problem_destroy(moegemm_problem* problem) { delete reinterpret_cast<moegemm::CProblem*>(problem); }

const moegemm_spec* moegemm_problem_spec(const moegemm_problem* problem) {
    return problem == nullptr ? nullptr : &reinterpret_cast<const moegemm::CProblem*>(problem)->spec;
}

const std::int32_t* moegemm_problem_m_indptr(const moegemm_problem* problem) {
    return problem == nullptr ? nullptr
                              : reinterpret_cast<const moegemm::CProblem*>(problem)->problem.m_indptr().data();
}
