// Packed weights in a file: the cpu provider's real ones come back, and every other file is refused.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <moegemm/packed_file.hpp>
#include <moegemm/provider.hpp>

#include "op/expect_error.hpp"
#include "provider/crc32.hpp"
#include "provider/random_call.hpp"
#include "scratch_folder.hpp"

namespace moegemm::test {
namespace {

constexpr std::size_t header_bytes = 256;
constexpr std::size_t header_crc_at = 252;

std::uint32_t crc_of(const std::string& bytes) {
    return Crc32::of({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

void put_little_endian(std::string& file, std::size_t at, std::uint64_t number, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
        file[at + i] = static_cast<char>(number >> (8 * i));
    }
}

/// Makes a header that somebody changed one that is in order.
std::string sealed(std::string file) {
    put_little_endian(file, header_crc_at, crc_of(file.substr(0, header_crc_at)), 4);
    return file;
}

TEST(Crc32, IsThatOfZlib) {
    EXPECT_EQ(crc_of(""), 0U);
    EXPECT_EQ(crc_of("123456789"), 0xCBF43926U);  // the check value of every catalogue of CRCs
    EXPECT_EQ(crc_of("The quick brown fox jumps over the lazy dog"), 0x414FA339U);
}

TEST(Crc32, DoesNotDependOnThePieces) {
    std::mt19937 random(1);
    std::vector<std::uint8_t> bytes(1000);
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<std::uint8_t>(random()); });
    const std::uint32_t whole = Crc32::of(bytes);
    std::uint32_t bit_by_bit = ~0U;
    for (const std::uint8_t byte : bytes) {
        bit_by_bit ^= byte;
        for (int bit = 0; bit < 8; ++bit) {
            bit_by_bit = bit_by_bit >> 1 ^ ((bit_by_bit & 1U) != 0 ? 0xEDB88320U : 0U);
        }
    }
    EXPECT_EQ(whole, ~bit_by_bit);
    for (int i = 0; i < 100; ++i) {
        Crc32 crc;
        std::span<const std::uint8_t> rest(bytes);
        while (!rest.empty()) {
            const std::size_t piece = std::min<std::size_t>(rest.size(), random() % 40);
            crc.add(rest.first(piece));
            rest = rest.subspan(piece);
        }
        ASSERT_EQ(crc.value(), whole);
    }
}

/// Made-up weights of 1000 bytes, and the file of them.
class PackedFile : public testing::Test {
protected:
    PackedFile() {
        info_.name = "carrier";
        info_.version = "3";
        spec_.variant = Variant::mxfp4;
        spec_.a = DType::e4m3;
        spec_.w = DType::e2m1x2;
        spec_.scale_layout = ScaleLayout::swizzled_128x4;
        spec_.experts = 2;
        spec_.n = 20;
        spec_.k = 64;
        spec_.max_rows = 8;
        std::mt19937 random(1);
        packed_.resize(1000);
        std::generate(packed_.begin(), packed_.end(), [&] { return static_cast<std::uint8_t>(random()); });
        std::ostringstream out;
        save_packed(out, info_, spec_, packed_);
        file_ = out.str();
    }

    [[nodiscard]] std::vector<std::uint8_t> load(const std::string& from) const {
        std::istringstream in(from);
        std::vector<std::uint8_t> loaded(packed_.size());
        load_packed(in, info_, spec_, loaded);
        return loaded;
    }
    /// \param value, allowed parts of the error's texts
    [[nodiscard]] testing::AssertionResult refuses(const std::string& from, std::string_view value,
                                                   std::string_view allowed) const {
        return throws_error(ErrorCode::invalid_argument, "packed_w", value, allowed, [&] { (void)load(from); });
    }
    /// The file as another provider, version or spec would have written it.
    [[nodiscard]] std::string file_of(const std::function<void(ProviderInfo&, GemmSpec&)>& change,
                                      std::size_t bytes = 1000) const {
        ProviderInfo other_info = info_;
        GemmSpec other_spec = spec_;
        change(other_info, other_spec);
        std::vector<std::uint8_t> other = packed_;
        other.resize(bytes);
        std::ostringstream out;
        save_packed(out, other_info, other_spec, other);
        return out.str();
    }

    ProviderInfo info_;
    GemmSpec spec_;
    std::vector<std::uint8_t> packed_;
    std::string file_;
};

TEST_F(PackedFile, ComesBack) { EXPECT_EQ(load(file_), packed_); }

TEST_F(PackedFile, IsAsDocumented) {
    const auto number = [&](std::size_t at, std::size_t bytes) {
        std::uint64_t found = 0;
        for (std::size_t i = bytes; i > 0; --i) {
            found = found << 8 | static_cast<std::uint8_t>(file_[at + i - 1]);
        }
        return found;
    };
    const auto text = [&](std::size_t at, std::size_t bytes) {
        const std::string found = file_.substr(at, bytes);
        std::string used = found.substr(0, found.find('\0'));
        EXPECT_EQ(found, used + std::string(bytes - used.size(), '\0'));
        return used;
    };
    ASSERT_EQ(file_.size(), header_bytes + packed_.size());
    EXPECT_EQ(file_.substr(0, 8), "\x89MOEP\r\n\x1A");
    EXPECT_EQ(number(8, 4), 1U);
    EXPECT_EQ(number(12, 4), header_bytes);
    EXPECT_EQ(number(16, 8), packed_.size());
    EXPECT_EQ(number(24, 8), 2U);
    EXPECT_EQ(number(32, 8), 20U);
    EXPECT_EQ(number(40, 8), 64U);
    EXPECT_EQ(text(48, 16), "mxfp4");
    EXPECT_EQ(text(64, 16), "e2m1x2");
    EXPECT_EQ(text(80, 32), "swizzled_128x4");
    EXPECT_EQ(text(112, 64), "carrier");
    EXPECT_EQ(text(176, 72), "3");
    EXPECT_EQ(number(248, 4), crc_of(file_.substr(header_bytes)));
    EXPECT_EQ(number(header_crc_at, 4), crc_of(file_.substr(0, header_crc_at)));
    EXPECT_TRUE(std::equal(packed_.begin(), packed_.end(), file_.begin() + header_bytes,
                           [](std::uint8_t byte, char c) { return static_cast<char>(byte) == c; }));
}

TEST_F(PackedFile, EveryTextThatTheTablesHaveFits) {
    for (const VariantInfo& row : variants) {
        for (const ScaleLayout layout : row.layouts) {
            spec_.variant = row.id;
            spec_.w = row.w;
            spec_.scale_layout = layout;
            std::ostringstream out;
            save_packed(out, info_, spec_, packed_);
            EXPECT_EQ(load(out.str()), packed_);
        }
    }
}

TEST_F(PackedFile, ServesPlansThatDifferInOtherThings) {
    spec_.max_rows = 99;
    spec_.dst = DType::f16;
    spec_.a = DType::e5m2;
    spec_.has_alpha = true;
    EXPECT_EQ(load(file_), packed_);
}

TEST_F(PackedFile, OfSomethingElseIsRefusedByTheFieldsName) {
    EXPECT_TRUE(refuses(file_of([](ProviderInfo& i, GemmSpec&) { i.name = "other"; }), "provider \"other\"",
                        "provider \"carrier\""));
    EXPECT_TRUE(refuses(file_of([](ProviderInfo& i, GemmSpec&) { i.name = "carrier2"; }), "provider \"carrier2\"",
                        "provider \"carrier\""));
    EXPECT_TRUE(refuses(file_of([](ProviderInfo& i, GemmSpec&) { i.version = "2"; }), "provider version \"2\"",
                        "provider version \"3\""));
    EXPECT_TRUE(refuses(file_of([](ProviderInfo&, GemmSpec& s) { s.variant = Variant::mxfp4_a4; }),
                        "variant \"mxfp4_a4\"", "variant \"mxfp4\""));
    EXPECT_TRUE(refuses(file_of([](ProviderInfo&, GemmSpec& s) { s.w = DType::e5m2; }), "element of W \"e5m2\"",
                        "element of W \"e2m1x2\""));
    EXPECT_TRUE(refuses(file_of([](ProviderInfo&, GemmSpec& s) { s.scale_layout = ScaleLayout::linear; }),
                        "scale layout \"linear\"", "scale layout \"swizzled_128x4\""));
    EXPECT_TRUE(refuses(file_of([](ProviderInfo&, GemmSpec& s) { s.experts = 3; }), "experts 3", "experts 2"));
    EXPECT_TRUE(refuses(file_of([](ProviderInfo&, GemmSpec& s) { s.n = 21; }), "N 21", "N 20"));
    EXPECT_TRUE(refuses(file_of([](ProviderInfo&, GemmSpec& s) { s.k = 96; }), "K 96", "K 64"));
    const auto nothing = [](ProviderInfo&, GemmSpec&) {};
    EXPECT_TRUE(refuses(file_of(nothing, 999), "packed bytes 999", "packed bytes 1000"));
    EXPECT_TRUE(refuses(file_of(nothing, 1001), "packed bytes 1001", "packed bytes 1000"));
}

TEST_F(PackedFile, OfSizesThatNothingHasIsRefused) {
    for (const std::size_t at : {16U, 24U, 32U, 40U}) {
        for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
            std::string other = file_;
            put_little_endian(other, at, number, 8);
            EXPECT_TRUE(refuses(sealed(other), " " + std::to_string(number), " "));
        }
    }
}

TEST_F(PackedFile, OfAnotherLayoutIsRefused) {
    std::string other = file_;
    put_little_endian(other, 8, 2, 4);
    EXPECT_TRUE(refuses(other, "layout version 2", "layout version 1"));
    EXPECT_TRUE(refuses(sealed(other), "layout version 2", "layout version 1"));
    other = file_;
    put_little_endian(other, 12, 512, 4);
    EXPECT_TRUE(refuses(sealed(other), "header bytes 512", "header bytes 256"));
}

TEST_F(PackedFile, OfSomebodyElseIsRefused) {
    EXPECT_TRUE(refuses("", "another signature", "a file of packed weights"));
    EXPECT_TRUE(refuses("\x89MOEP\r\n", "another signature", "a file of packed weights"));
    EXPECT_TRUE(refuses(std::string(2000, '\0'), "another signature", "a file of packed weights"));
    std::string text_mode = file_;
    text_mode.erase(5, 1);  // a carriage return that went missing
    EXPECT_TRUE(refuses(text_mode, "another signature", "a file of packed weights"));
}

TEST_F(PackedFile, NamesItsTextsInPrintableCharacters) {
    std::string other = file_;
    other.replace(112, 7, "\x1B[31mx\xFF");
    EXPECT_TRUE(refuses(sealed(other), "provider \"?[31mx?\"", "provider \"carrier\""));
    other = file_;
    other[112 + 20] = 'x';  // behind the zero that ends the name
    EXPECT_TRUE(refuses(sealed(other), "provider \"carrier\"", "provider \"carrier\""));
}

TEST_F(PackedFile, CutShortAnywhereIsRefused) {
    for (std::size_t size = 8; size < header_bytes; ++size) {
        ASSERT_TRUE(refuses(file_.substr(0, size), "a header of " + std::to_string(size) + " bytes", "cut short"));
    }
    for (std::size_t size = 0; size < packed_.size(); ++size) {
        ASSERT_TRUE(refuses(file_.substr(0, header_bytes + size), "a file of " + std::to_string(size) + " packed bytes",
                            "1000 packed bytes: the file was cut short"));
    }
}

TEST_F(PackedFile, WithMoreBehindIsRefused) {
    EXPECT_TRUE(refuses(file_ + 'x', "more than 1000", "nothing behind"));
    EXPECT_TRUE(refuses(file_ + file_, "more than 1000", "nothing behind"));
}

TEST_F(PackedFile, EveryDamagedByteOfTheHeaderIsRefused) {
    std::mt19937 random(1);
    for (std::size_t at = 0; at < header_bytes; ++at) {
        for (int i = 0; i < 8; ++i) {
            std::string other = file_;
            other[at] = static_cast<char>(static_cast<std::uint8_t>(other[at]) ^ (random() % 255 + 1));
            ASSERT_THROW((void)load(other), Error) << at;
            if (at >= 12) {
                ASSERT_TRUE(refuses(other, "header checksum", "damaged")) << at;
            }
            if (at < header_crc_at) {  // and where the damage was meant; but the packed bytes' checksum is theirs
                ASSERT_THROW((void)load(sealed(other)), Error) << at;
            }
        }
    }
}

TEST_F(PackedFile, EveryDamagedPackedByteIsRefused) {
    for (std::size_t at = header_bytes; at < file_.size(); ++at) {
        std::string other = file_;
        other[at] = static_cast<char>(static_cast<std::uint8_t>(other[at]) ^ 0x10U);
        ASSERT_TRUE(refuses(other, "checksum", "damaged"));
    }
}

TEST_F(PackedFile, RefusedHeadersLeaveThePackedBytesAlone) {
    std::istringstream in(file_of([](ProviderInfo&, GemmSpec& s) { s.n = 21; }));
    std::vector<std::uint8_t> target(packed_.size(), 0xA5);
    EXPECT_THROW(load_packed(in, info_, spec_, target), Error);
    EXPECT_TRUE(std::all_of(target.begin(), target.end(), [](std::uint8_t byte) { return byte == 0xA5; }));
}

TEST_F(PackedFile, IsNotWrittenWithoutBytesOrWithALongName) {
    std::ostringstream out;
    EXPECT_TRUE(throws_error(ErrorCode::invalid_argument, "packed_w", "0 bytes", "a plan that packs",
                             [&] { save_packed(out, info_, spec_, {}); }));
    const auto refuses_to_save = [&](std::string_view value) {
        return throws_error(ErrorCode::invalid_argument, "provider", value, "printable ASCII",
                            [&] { save_packed(out, info_, spec_, packed_); });
    };
    info_.name = std::string(65, 'x');
    EXPECT_TRUE(refuses_to_save("provider of 65 bytes"));
    info_.name = "caf\xC3\xA9";
    EXPECT_TRUE(refuses_to_save("provider of 5 bytes"));
    info_.name = std::string(64, 'x');
    info_.version = std::string(73, '1');
    EXPECT_TRUE(refuses_to_save("provider version of 73 bytes"));
    EXPECT_EQ(out.str(), "");
    info_.version = std::string(72, '1');
    save_packed(out, info_, spec_, packed_);
    EXPECT_EQ(load(out.str()), packed_);
}

TEST_F(PackedFile, IsNotWrittenWhereTheOrderIsThePlansOwn) {
    info_.packs_for_plan = true;
    std::ostringstream out;
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "packed_w", "provider carrier", "nothing but the spec",
                             [&] { save_packed(out, info_, spec_, packed_); }));
    EXPECT_TRUE(throws_error(ErrorCode::unsupported, "packed_w", "provider carrier", "nothing but the spec",
                             [&] { (void)load(file_); }));
    EXPECT_TRUE(Registry::with_builtin().find("onednn")->info().packs_for_plan);
}

TEST_F(PackedFile, OnDisk) {
    const ScratchFolder folder;
    const std::filesystem::path path = folder.path() / "layer";
    save_packed(path, info_, spec_, packed_);
    save_packed(path, info_, spec_, packed_);  // in place of the first
    std::vector<std::uint8_t> loaded(packed_.size());
    load_packed(path, info_, spec_, loaded);
    EXPECT_EQ(loaded, packed_);

    const auto fails = [&](const std::filesystem::path& place, std::string_view value, const auto& action) {
        return throws_error(ErrorCode::io, place.string(), value, "that can be", [&] { action(place); });
    };
    const auto save = [&](const std::filesystem::path& place) { save_packed(place, info_, spec_, packed_); };
    const auto load_from = [&](const std::filesystem::path& place) { load_packed(place, info_, spec_, loaded); };
    EXPECT_TRUE(fails(folder.path() / "none" / "layer", "No such file", save));
    EXPECT_TRUE(fails(folder.path(), "directory", save));
    EXPECT_TRUE(fails("/dev/full", "No space", save));
    EXPECT_TRUE(fails(folder.path() / "none", "No such file", load_from));
    EXPECT_TRUE(fails(folder.path(), "directory", load_from));

    info_.packs_for_plan = true;
    EXPECT_THROW(save(path), Error);
    info_.packs_for_plan = false;
    load_from(path);  // still there
}

TEST(PackedFileOfTheCpu, RunsToTheSameBits) {
    const auto provider = Registry::with_builtin().find("cpu");
    std::mt19937 random(1);
    for (const VariantInfo& row : variants) {
        for (int i = 0; i < 4; ++i) {
            const RandomCall call(random_problem(row.id, random), static_cast<unsigned>(i));
            const GemmSpec& spec = call.problem.spec();
            const auto bytes = [](std::size_t count) { return static_cast<std::int64_t>(count); };
            std::stringstream file;
            GuardedBuffer fresh_y(call.operands.y.bytes());
            {
                const auto plan = provider->plan(spec, {});
                GuardedBuffer packed(bytes(plan->packed_bytes()));
                GuardedBuffer workspace(bytes(plan->workspace_bytes()));
                Operands operands = call.operands;
                operands.workspace = Tensor(workspace.data(), DType::u8, {bytes(plan->workspace_bytes())});
                operands.packed_w = Tensor(packed.data(), DType::u8, {bytes(plan->packed_bytes())});
                plan->pack(call.operands, operands.packed_w);
                operands.w = operands.w_scale = Tensor();
                operands.y = Tensor(fresh_y.data(), spec.dst, {call.problem.rows(), spec.n});
                plan->run(operands);
                save_packed(file, provider->info(), spec, {packed.data(), plan->packed_bytes()});
            }
            GemmSpec larger = spec;
            larger.max_rows += 100;
            const auto plan = provider->plan(larger, {});
            GuardedBuffer packed(bytes(plan->packed_bytes()));
            GuardedBuffer workspace(bytes(plan->workspace_bytes()));
            load_packed(file, provider->info(), larger, {packed.data(), plan->packed_bytes()});
            Operands operands = call.operands;
            operands.workspace = Tensor(workspace.data(), DType::u8, {bytes(plan->workspace_bytes())});
            operands.packed_w = Tensor(packed.data(), DType::u8, {bytes(plan->packed_bytes())});
            operands.w = operands.w_scale = Tensor();
            plan->run(operands);
            EXPECT_EQ(call.y->bytes(), fresh_y.bytes()) << row.name;
            EXPECT_TRUE(packed.guards_intact() && workspace.guards_intact() && call.guards_intact());
        }
    }
}

// A change of the order without one of the provider's version would let old files in. Where this fails, raise the
// version in src/providers/cpu/provider.cpp, then put the new sums here.
TEST(PackedFileOfTheCpu, ItsOrderIsThatOfItsVersionWithAnyInstructions) {
    const auto provider = Registry::with_builtin().find("cpu");
    EXPECT_EQ(provider->info().version, "3");
    const std::vector<std::uint32_t> expected{0x4185C5F5, 0xE989B4AD, 0x7E98B6CC, 0xC908AF9F, 0x8E55D938, 0xF3A6E295,
                                              0xB82FA9DB, 0xB82FA9DB, 0xB82FA9DB, 0x270C4CC1, 0x270C4CC1};
    for (const char* kernel : {"", "generic"}) {
        std::vector<std::uint32_t> found;
        for (const VariantInfo& row : variants) {
            const RandomCall call(small_problem(row.id), 1);
            std::mt19937 random(
                1);  // its numbers are the same everywhere, those of the library's distributions are not
            for (const Tensor* tensor : {&call.operands.w, &call.operands.w_scale}) {
                std::generate_n(tensor->as<std::uint8_t>(), tensor->bytes(),
                                [&] { return static_cast<std::uint8_t>(random()); });
            }
            PlanOptions options;
            options.kernel = kernel;
            const auto plan = provider->plan(call.problem.spec(), options);
            const auto bytes = static_cast<std::int64_t>(plan->packed_bytes());
            GuardedBuffer packed(bytes);
            plan->pack(call.operands, Tensor(packed.data(), DType::u8, {bytes}));
            found.push_back(Crc32::of(packed.bytes()));
        }
        EXPECT_EQ(found, expected) << kernel;
    }
}

}  // namespace
}  // namespace moegemm::test
