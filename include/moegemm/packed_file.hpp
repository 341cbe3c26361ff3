/// \file
/// Packed weights in a file, so that an engine packs a layer once and loads it from then on.
///
/// A file is a header and the packed bytes as Plan::pack made them, nothing else. Numbers are little-endian; texts are
/// ASCII, filled up with zeros.
///
///   byte  bytes
///      0      8  signature: 89 4D 4F 45 50 0D 0A 1A ("MOEP" between what a text-mode transfer would spoil)
///      8      4  version of this layout: 1
///     12      4  bytes of this header, 256: where the packed bytes begin
///     16      8  how many packed bytes
///     24      8  E
///     32      8  N
///     40      8  K
///     48     16  variant ("nvfp4_a16")
///     64     16  element of W ("e2m1x2")
///     80     32  scale layout ("swizzled_128x4")
///    112     64  name of the provider ("hopper")
///    176     72  its version ("1")
///    248      4  CRC-32 of the packed bytes (crc32.hpp: that of zlib and PNG)
///    252      4  CRC-32 of the 252 bytes before
///    256         the packed bytes
///
/// Only the provider that packed weights can read them, and only in a version with the same order. The other fields of
/// a spec (A's and y's types, alpha, the largest M) may differ from one plan to the next.
///
/// The bytes are in the host's memory: who packed on a device copies them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <span>

#include <moegemm/provider.hpp>

namespace moegemm {

/// Writes packed weights.
/// \param out      binary; written from where it stands
/// \param provider whose plan packed them
/// \param spec     of that plan
/// \param packed   the plan's packed_bytes()
/// \throws Error invalid_argument ("packed_w") for no bytes, ("provider") for a name or version that is too long or not
///               printable ASCII; unsupported ("packed_w") where the provider says packs_for_plan; io
void save_packed(std::ostream& out, const ProviderInfo& provider, const GemmSpec& spec,
                 std::span<const std::uint8_t> packed);

/// The same to a file, which is created or replaced. One that was cut short is refused when it is loaded.
/// \throws Error io naming the path and the system's reason
void save_packed(const std::filesystem::path& path, const ProviderInfo& provider, const GemmSpec& spec,
                 std::span<const std::uint8_t> packed);

/// Reads packed weights of the same provider, version and sizes. Allocates nothing that depends on the input.
/// \param in       binary; read from where it stands to its end
/// \param provider whose plan will run with them
/// \param spec     of that plan
/// \param packed   the plan's packed_bytes(). Untouched where the header is refused; of no meaning after any other
///                 error.
/// \throws Error invalid_argument ("packed_w") naming the header's field, its value and what it has to be: another
///               signature, version of the layout, provider, version, variant, element, layout, size; a damaged header;
///               too few bytes, or too many; damaged bytes. unsupported as above; io
void load_packed(std::istream& in, const ProviderInfo& provider, const GemmSpec& spec, std::span<std::uint8_t> packed);

/// The same from a file.
/// \throws Error io naming the path and the system's reason
void load_packed(const std::filesystem::path& path, const ProviderInfo& provider, const GemmSpec& spec,
                 std::span<std::uint8_t> packed);

}  // namespace moegemm
