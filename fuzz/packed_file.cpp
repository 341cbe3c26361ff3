// A file of packed weights from outside: what is taken is what save_packed writes of the bytes that were read, and all
// else is a typed error. Each input is taken a second time with
// the right checksums, which chance would not find.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include <moegemm/error.hpp>
#include <moegemm/packed_file.hpp>

#include "provider/crc32.hpp"

namespace {

constexpr std::size_t header_bytes = 256;

void put_crc(std::string& file, std::size_t at, std::size_t begin, std::size_t end) {
    const std::uint32_t crc =
        moegemm::Crc32::of({reinterpret_cast<const std::uint8_t*>(file.data()) + begin, end - begin});
    for (std::size_t i = 0; i < 4; ++i) {
        file[at + i] = static_cast<char>(crc >> (8 * i));
    }
}

void load(const std::string& file) {
    moegemm::ProviderInfo provider;
    provider.name = "cpu";
    provider.version = "1";
    moegemm::GemmSpec spec;
    spec.variant = moegemm::Variant::mxfp4_a16;
    spec.w = moegemm::DType::e2m1x2;
    spec.scale_layout = moegemm::ScaleLayout::linear;
    spec.experts = 1;
    spec.n = 2;
    spec.k = 32;
    std::array<std::uint8_t, 34> packed{};
    std::istringstream in(file);
    try {
        moegemm::load_packed(in, provider, spec, packed);
    } catch (const moegemm::Error& error) {
        if (error.code() != moegemm::ErrorCode::invalid_argument || error.argument() != "packed_w") {
            std::abort();
        }
        return;
    }
    std::ostringstream again;
    moegemm::save_packed(again, provider, spec, packed);
    if (again.str() != file) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string file(reinterpret_cast<const char*>(data), size);
    load(file);
    if (size >= header_bytes) {
        put_crc(file, 248, header_bytes, size);
        put_crc(file, 252, 0, 252);
        load(file);
    }
    return 0;
}
