#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include <moegemm/error.hpp>
#include <moegemm/packed_file.hpp>

#include "provider/crc32.hpp"

namespace moegemm {
namespace {

constexpr std::array<std::uint8_t, 8> signature{0x89, 'M', 'O', 'E', 'P', '\r', '\n', 0x1A};
constexpr std::uint32_t layout_version = 1;
constexpr std::size_t header_bytes = 256;
using Header = std::array<std::uint8_t, header_bytes>;

/// A field's name for messages, and where it lies.
struct Field {
    std::string_view name;
    std::size_t offset;
    std::size_t bytes;
};
constexpr Field version_field{"layout version", 8, 4};
constexpr Field header_bytes_field{"header bytes", 12, 4};
constexpr Field bytes_field{"packed bytes", 16, 8};
constexpr Field experts_field{"experts", 24, 8};
constexpr Field n_field{"N", 32, 8};
constexpr Field k_field{"K", 40, 8};
constexpr Field variant_field{"variant", 48, 16};
constexpr Field w_field{"element of W", 64, 16};
constexpr Field scale_layout_field{"scale layout", 80, 32};
constexpr Field provider_field{"provider", 112, 64};
constexpr Field provider_version_field{"provider version", 176, 72};
constexpr Field packed_crc_field{"checksum", 248, 4};
constexpr Field header_crc_field{"header checksum", 252, 4};
static_assert(header_crc_field.offset + header_crc_field.bytes == header_bytes);

[[noreturn]] void refuse(std::string value, std::string allowed) {
    throw Error(ErrorCode::invalid_argument, "packed_w", std::move(value), std::move(allowed));
}

void put_number(Header& header, const Field& field, std::uint64_t number) {
    for (std::size_t i = 0; i < field.bytes; ++i) {
        header[field.offset + i] = static_cast<std::uint8_t>(number >> (8 * i));
    }
}

std::uint64_t number_in(const Header& header, const Field& field) {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < field.bytes; ++i) {
        number |= static_cast<std::uint64_t>(header[field.offset + i]) << (8 * i);
    }
    return number;
}

bool is_printable(char c) noexcept { return c >= ' ' && c <= '~'; }

void put_text(Header& header, const Field& field, std::string_view text) {
    if (text.size() > field.bytes || !std::all_of(text.begin(), text.end(), is_printable)) {
        throw Error(ErrorCode::invalid_argument, "provider", fmt::format("{} of {} bytes", field.name, text.size()),
                    fmt::format("at most {} bytes of printable ASCII in a file of packed weights", field.bytes));
    }
    std::copy(text.begin(), text.end(), header.begin() + static_cast<std::ptrdiff_t>(field.offset));
}

/// Up to the first zero, for messages: the file may be anybody's.
std::string text_in(const Header& header, const Field& field) {
    std::string text;
    for (std::size_t i = 0; i < field.bytes && header[field.offset + i] != 0; ++i) {
        const char c = static_cast<char>(header[field.offset + i]);
        text += is_printable(c) ? c : '?';
    }
    return text;
}

bool same(const Header& found, const Header& wanted, const Field& field) {
    const auto offset = static_cast<std::ptrdiff_t>(field.offset);
    return std::equal(found.begin() + offset, found.begin() + offset + static_cast<std::ptrdiff_t>(field.bytes),
                      wanted.begin() + offset);
}

std::uint32_t crc_of_header(const Header& header) { return Crc32::of({header.data(), header_crc_field.offset}); }

/// The header that weights of this kind have, but for the checksums.
Header header_of(const ProviderInfo& provider, const GemmSpec& spec, std::size_t bytes) {
    if (bytes == 0) {
        refuse("0 bytes", "the bytes of a plan that packs weights");
    }
    if (provider.packs_for_plan) {
        throw Error(ErrorCode::unsupported, "packed_w", fmt::format("of provider {}", provider.name),
                    "weights whose order depends on nothing but the spec and the provider's version");
    }
    Header header{};
    std::copy(signature.begin(), signature.end(), header.begin());
    put_number(header, version_field, layout_version);
    put_number(header, header_bytes_field, header_bytes);
    put_number(header, bytes_field, bytes);
    put_number(header, experts_field, static_cast<std::uint64_t>(spec.experts));
    put_number(header, n_field, static_cast<std::uint64_t>(spec.n));
    put_number(header, k_field, static_cast<std::uint64_t>(spec.k));
    put_text(header, variant_field, spec.row().name);
    put_text(header, w_field, info(spec.w).name);
    put_text(header, scale_layout_field, to_string(spec.scale_layout));
    put_text(header, provider_field, provider.name);
    put_text(header, provider_version_field, provider.version);
    return header;
}

void check_number(const Header& found, const Header& wanted, const Field& field) {
    if (!same(found, wanted, field)) {
        refuse(fmt::format("a file of {} {}", field.name, number_in(found, field)),
               fmt::format("{} {}", field.name, number_in(wanted, field)));
    }
}

void check_text(const Header& found, const Header& wanted, const Field& field) {
    if (!same(found, wanted, field)) {
        refuse(fmt::format("a file of {} \"{}\"", field.name, text_in(found, field)),
               fmt::format("{} \"{}\"", field.name, text_in(wanted, field)));
    }
}

/// \param count how many of its bytes there were
void check_header(const Header& found, std::size_t count, const Header& wanted) {
    if (count < signature.size() || !std::equal(signature.begin(), signature.end(), found.begin())) {
        refuse("a file with another signature", "a file of packed weights");
    }
    if (count < header_bytes) {
        refuse(fmt::format("a header of {} bytes", count),
               fmt::format("one of {}: the file was cut short", header_bytes));
    }
    check_number(found, wanted, version_field);
    if (number_in(found, header_crc_field) != crc_of_header(found)) {
        refuse(fmt::format("a file of {} {:#010x}", header_crc_field.name, number_in(found, header_crc_field)),
               fmt::format("{:#010x}: the header is damaged", crc_of_header(found)));
    }
    check_number(found, wanted, header_bytes_field);
    for (const Field& field : {provider_field, provider_version_field, variant_field, w_field, scale_layout_field}) {
        check_text(found, wanted, field);
    }
    for (const Field& field : {experts_field, n_field, k_field, bytes_field}) {
        check_number(found, wanted, field);
    }
}

/// What went wrong with a stream, in the system's words where it has any.
std::string system_reason() { return errno == 0 ? std::string("an error of the stream") : std::strerror(errno); }

void write(std::ostream& out, std::string_view name, std::span<const std::uint8_t> bytes) {
    errno = 0;
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!out) {
        throw Error(ErrorCode::io, std::string(name), system_reason(), "a place that can be written to");
    }
}

/// \return how many bytes there were
std::size_t read(std::istream& in, std::string_view name, std::span<std::uint8_t> bytes) {
    errno = 0;
    in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (in.bad()) {
        throw Error(ErrorCode::io, std::string(name), system_reason(), "a file that can be read");
    }
    return static_cast<std::size_t>(in.gcount());
}

void save(std::ostream& out, std::string_view name, Header header, std::span<const std::uint8_t> packed) {
    put_number(header, packed_crc_field, Crc32::of(packed));
    put_number(header, header_crc_field, crc_of_header(header));
    write(out, name, header);
    write(out, name, packed);
}

void load(std::istream& in, std::string_view name, const ProviderInfo& provider, const GemmSpec& spec,
          std::span<std::uint8_t> packed) {
    const Header wanted = header_of(provider, spec, packed.size());
    Header header{};
    const std::size_t count = read(in, name, header);
    check_header(header, count, wanted);
    constexpr std::size_t piece = std::size_t{1} << 20;  // stays in a cache until its checksum is taken
    Crc32 crc;
    for (std::size_t at = 0; at < packed.size(); at += piece) {
        const std::span<std::uint8_t> part = packed.subspan(at, std::min(piece, packed.size() - at));
        if (const std::size_t found = read(in, name, part); found < part.size()) {
            refuse(fmt::format("a file of {} {}", at + found, bytes_field.name),
                   fmt::format("{} {}: the file was cut short", packed.size(), bytes_field.name));
        }
        crc.add(part);
    }
    std::array<std::uint8_t, 1> next{};
    if (read(in, name, next) != 0) {
        refuse(fmt::format("a file of more than {} {}", packed.size(), bytes_field.name),
               fmt::format("{} {} and nothing behind them", packed.size(), bytes_field.name));
    }
    if (number_in(header, packed_crc_field) != crc.value()) {
        refuse(fmt::format("{} bytes of {} {:#010x}", packed.size(), packed_crc_field.name, crc.value()),
               fmt::format("{} {:#010x}: the file is damaged", packed_crc_field.name,
                           number_in(header, packed_crc_field)));
    }
}

}  // namespace

void save_packed(std::ostream& out, const ProviderInfo& provider, const GemmSpec& spec,
                 std::span<const std::uint8_t> packed) {
    save(out, "packed_w", header_of(provider, spec, packed.size()), packed);
}

void save_packed(const std::filesystem::path& path, const ProviderInfo& provider, const GemmSpec& spec,
                 std::span<const std::uint8_t> packed) {
    const Header header = header_of(provider, spec, packed.size());  // before a file is replaced
    const auto fail = [&] {
        throw Error(ErrorCode::io, path.string(), system_reason(), "a place that can be written to");
    };
    errno = 0;
    std::ofstream out(path, std::ios::binary);
    if (!out) {
        fail();
    }
    save(out, path.string(), header, packed);
    errno = 0;
    out.close();
    if (!out) {
        fail();
    }
}

void load_packed(std::istream& in, const ProviderInfo& provider, const GemmSpec& spec, std::span<std::uint8_t> packed) {
    load(in, "packed_w", provider, spec, packed);
}

void load_packed(const std::filesystem::path& path, const ProviderInfo& provider, const GemmSpec& spec,
                 std::span<std::uint8_t> packed) {
    errno = 0;
    std::ifstream in(path, std::ios::binary);
    if (!in) {
        throw Error(ErrorCode::io, path.string(), system_reason(), "a file that can be read");
    }
    load(in, path.string(), provider, spec, packed);
}

}  // namespace moegemm
