// Shared memory: every byte has one place, every k one lane, and every access all banks.
#include "providers/cuda/stage_plan.hpp"

#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace moegemm::cuda {
namespace {

constexpr int rows = 32;

TEST(CudaStagePlan, EveryChunkHasAPlaceOfItsOwn) {
    for (const int row_bytes : {32, 64, 128}) {
        std::set<int> places;
        for (int row = 0; row < rows; ++row) {
            for (int chunk = 0; chunk < row_bytes / chunk_bytes; ++chunk) {
                const int offset = chunk_offset(row_bytes, row, chunk);
                EXPECT_EQ(offset % chunk_bytes, 0);
                EXPECT_GE(offset, 0);
                EXPECT_LT(offset, rows * row_bytes);
                EXPECT_TRUE(places.insert(offset).second);
                // Eight rows on, eight rows of bytes on: what depends on a lane is the same for every fragment.
                EXPECT_EQ(chunk_offset(row_bytes, row + 8, chunk), offset + 8 * row_bytes);
            }
        }
    }
}

/// Whether accesses of `bytes` at these offsets touch every bank at most once.
bool conflict_free(const std::vector<int>& offsets, int bytes) {
    std::set<int> banks;
    for (const int offset : offsets) {
        for (int byte = 0; byte < bytes; byte += 4) {
            if (!banks.insert((offset + byte) / 4 % 32).second) {
                return false;
            }
        }
    }
    return true;
}

struct Operand {
    int bits;
    int depth;
};
class Fragments : public testing::TestWithParam<Operand> {};

TEST_P(Fragments, ReadEveryByteOnceWithoutBankConflicts) {
    const auto [bits, depth] = GetParam();
    const int row_bytes = depth * bits / 8;
    const int lane_bytes = bits;  // eight values
    const int lanes_at_once = 128 / lane_bytes;
    std::set<int> read;
    for (int step = 0; step < depth / step_depth; ++step) {
        for (int first = 0; first < 32; first += lanes_at_once) {
            std::vector<int> offsets;
            for (int lane = first; lane < first + lanes_at_once; ++lane) {
                offsets.push_back(fragment_offset(row_bytes, bits, lane / 4, step, lane % 4));
                for (int byte = 0; byte < lane_bytes; ++byte) {
                    EXPECT_TRUE(read.insert(offsets.back() + byte).second);
                }
            }
            EXPECT_TRUE(conflict_free(offsets, lane_bytes));
        }
    }
    EXPECT_EQ(read.size(), static_cast<std::size_t>(8 * row_bytes));
}

TEST_P(Fragments, LieWhereTheirRowsWereCopied) {
    const auto [bits, depth] = GetParam();
    const int row_bytes = depth * bits / 8;
    for (int row = 0; row < rows; ++row) {
        for (int step = 0; step < depth / step_depth; ++step) {
            for (int c = 0; c < 4; ++c) {
                const int byte = (step * step_depth + 8 * c) * bits / 8;
                EXPECT_EQ(fragment_offset(row_bytes, bits, row, step, c),
                          chunk_offset(row_bytes, row, byte / 16) + byte % 16);
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Operands, Fragments,
                         testing::Values(Operand{16, 64}, Operand{8, 128}, Operand{4, 128}, Operand{4, 64}));

TEST(CudaStagePlan, CopiesAndMatricesAreFreeOfBankConflicts) {
    for (const int row_bytes : {32, 64, 128}) {
        const int chunks_a_row = row_bytes / chunk_bytes;
        for (int first = 0; first < rows * chunks_a_row; first += 8) {  // eight threads write 128 bytes
            std::vector<int> offsets;
            for (int i = first; i < first + 8; ++i) {
                offsets.push_back(chunk_offset(row_bytes, i / chunks_a_row, i % chunks_a_row));
            }
            EXPECT_TRUE(conflict_free(offsets, chunk_bytes));
        }
    }
    for (int chunk = 0; chunk < 8; ++chunk) {  // a matrix of ldmatrix
        std::vector<int> offsets;
        for (int row = 0; row < 8; ++row) {
            offsets.push_back(chunk_offset(128, row, chunk));
        }
        EXPECT_TRUE(conflict_free(offsets, chunk_bytes));
    }
}

}  // namespace
}  // namespace moegemm::cuda
