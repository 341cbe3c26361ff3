// The walk over tiles: every tile once, and no row outside of the tensors whatever m_indptr holds.
#include "providers/cuda/tile_walk.hpp"

#include <limits>
#include <random>
#include <set>
#include <utility>

#include <gtest/gtest.h>

namespace moegemm::cuda {
namespace {

TEST(CudaTileWalk, VisitsEveryTileOfAnExpertOnce) {
    for (std::int64_t token_tiles = 1; token_tiles < 40; ++token_tiles) {
        for (std::int64_t weight_tiles = 1; weight_tiles < 12; ++weight_tiles) {
            std::set<std::pair<std::int64_t, std::int64_t>> seen;
            for (std::int64_t index = 0; index < token_tiles * weight_tiles; ++index) {
                const TilePlace place = place_of(index, token_tiles, weight_tiles);
                ASSERT_GE(place.token_tile, 0);
                ASSERT_LT(place.token_tile, token_tiles);
                ASSERT_GE(place.weight_tile, 0);
                ASSERT_LT(place.weight_tile, weight_tiles);
                ASSERT_TRUE(seen.emplace(place.token_tile, place.weight_tile).second);
            }
        }
    }
}

TEST(CudaTileWalk, StartsDownABand) {
    EXPECT_EQ(place_of(0, 20, 3).token_tile, 0);
    EXPECT_EQ(place_of(1, 20, 3).token_tile, 1);
    EXPECT_EQ(place_of(band_height, 20, 3).token_tile, 0);
    EXPECT_EQ(place_of(band_height, 20, 3).weight_tile, 1);
    EXPECT_EQ(place_of(3 * band_height, 20, 3).token_tile, band_height);
}

TEST(CudaTileWalk, KeepsRowsWithinTheTensors) {
    constexpr auto least = std::numeric_limits<std::int32_t>::min();
    constexpr auto most = std::numeric_limits<std::int32_t>::max();
    std::mt19937_64 random(1);
    for (const std::int64_t rows : {std::int64_t{0}, std::int64_t{1}, std::int64_t{100}, std::int64_t{most}}) {
        for (int i = 0; i < 10000; ++i) {
            const auto draw = [&]() -> std::int64_t {
                switch (random() % 4) {
                    case 0:
                        return static_cast<std::int32_t>(random());
                    case 1:
                        return random() % 2 == 0 ? least : most;
                    default:
                        return static_cast<std::int64_t>(random() % 120);
                }
            };
            const std::int64_t begin = draw();
            const std::int64_t end = draw();
            const ExpertRows expert = ExpertRows::clamped(begin, end, rows);
            ASSERT_GE(expert.begin, 0);
            ASSERT_GE(expert.count, 0);
            ASSERT_LE(expert.begin + expert.count, rows);
            if (begin >= 0 && begin <= end && end <= rows) {
                ASSERT_EQ(expert.begin, begin);
                ASSERT_EQ(expert.count, end - begin);
            }
            if (end <= begin) {
                ASSERT_EQ(expert.count, 0);
            }
            ASSERT_EQ(expert.tiles(16), (expert.count + 15) / 16);
        }
    }
}

}  // namespace
}  // namespace moegemm::cuda
