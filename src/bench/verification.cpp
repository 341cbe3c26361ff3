#include "bench/verification.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <set>

#include <fmt/format.h>

#include "op/checked.hpp"

namespace moegemm::bench {
namespace {

/// Elements that a sample has in all, about.
constexpr std::int64_t sample_elements = 4096;
/// Fewer columns than these may all cancel to nearly nothing (see Comparison::add_row).
constexpr std::int64_t enough_columns = 16;
/// Products up to which a sample is the whole: some tens of milliseconds.
constexpr std::int64_t whole_products = std::int64_t{1} << 24;
constexpr std::uint8_t poison_byte = 0xFF;  // NaN in every dst type
constexpr std::int64_t staging_bytes = std::int64_t{16} << 20;

bool is_whole(const Problem& problem, VerifyMode mode) {
    const auto products = static_cast<double>(problem.rows()) * static_cast<double>(problem.spec().n) *
                          static_cast<double>(problem.spec().k);
    return mode == VerifyMode::full || products <= static_cast<double>(whole_products);
}

/// A number of [0, limit).
std::int64_t draw(std::mt19937_64& random, std::int64_t limit) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
}

/// `count` different numbers of [0, extent), ascending: both ends, then beside borders of tiles, then random ones.
std::vector<std::int64_t> choose(std::int64_t extent, std::int64_t count, std::mt19937_64& random) {
    std::set<std::int64_t> chosen{0, extent - 1};
    if (count >= extent) {
        for (std::int64_t i = 0; i < extent; ++i) {
            chosen.insert(i);
        }
    }
    const auto wanted = static_cast<std::size_t>(std::min(count, extent));
    // Tries are bounded: a tile may be larger than the extent, and a number may come twice.
    for (std::int64_t tries = 0; tries < 2 * count && chosen.size() < (wanted + 2) / 2 + 1; ++tries) {
        const std::int64_t tile = std::int64_t{8} << draw(random, 5);
        const std::int64_t borders = (extent - 1) / tile;
        if (borders > 0) {
            const std::int64_t beside = (1 + draw(random, borders)) * tile + draw(random, 3) - 1;
            chosen.insert(std::min(beside, extent - 1));
        }
    }
    while (chosen.size() < wanted) {
        chosen.insert(draw(random, extent));
    }
    return {chosen.begin(), chosen.end()};
}

/// Columns [first, first + spec.n) of a wider problem, as a problem of their own.
class ColumnSlice final : public OperandRows {
public:
    ColumnSlice(const OperandRows& whole, std::int64_t first) : whole_(whole), first_(first) {}
    void a_row(std::int64_t row, std::int64_t expert, std::span<double> values) const override {
        whole_.a_row(row, expert, values);
    }
    void w_row(std::int64_t expert, std::int64_t n, std::span<double> values) const override {
        whole_.w_row(expert, first_ + n, values);
    }
    void a_block_scales(std::int64_t row, std::int64_t expert, std::span<double> scales) const override {
        whole_.a_block_scales(row, expert, scales);
    }
    void w_block_scales(std::int64_t expert, std::int64_t n, std::span<double> scales) const override {
        whole_.w_block_scales(expert, first_ + n, scales);
    }
    [[nodiscard]] float token_scale(std::int64_t row) const override { return whole_.token_scale(row); }
    [[nodiscard]] float channel_scale(std::int64_t expert, std::int64_t n) const override {
        return whole_.channel_scale(expert, first_ + n);
    }
    [[nodiscard]] float alpha(std::int64_t expert) const override { return whole_.alpha(expert); }

private:
    const OperandRows& whole_;
    std::int64_t first_;
};

/// The same operands without their signs: sums of them are Σ|A·W|.
class Magnitudes final : public OperandRows {
public:
    explicit Magnitudes(const OperandRows& rows) : rows_(rows) {}
    void a_row(std::int64_t row, std::int64_t expert, std::span<double> values) const override {
        rows_.a_row(row, expert, values);
        drop_signs(values);
    }
    void w_row(std::int64_t expert, std::int64_t n, std::span<double> values) const override {
        rows_.w_row(expert, n, values);
        drop_signs(values);
    }
    void a_block_scales(std::int64_t row, std::int64_t expert, std::span<double> scales) const override {
        rows_.a_block_scales(row, expert, scales);
        drop_signs(scales);
    }
    void w_block_scales(std::int64_t expert, std::int64_t n, std::span<double> scales) const override {
        rows_.w_block_scales(expert, n, scales);
        drop_signs(scales);
    }
    [[nodiscard]] float token_scale(std::int64_t row) const override { return std::abs(rows_.token_scale(row)); }
    [[nodiscard]] float channel_scale(std::int64_t expert, std::int64_t n) const override {
        return std::abs(rows_.channel_scale(expert, n));
    }
    [[nodiscard]] float alpha(std::int64_t expert) const override { return std::abs(rows_.alpha(expert)); }

private:
    static void drop_signs(std::span<double> values) {
        for (double& value : values) {
            value = std::abs(value);
        }
    }
    const OperandRows& rows_;
};

}  // namespace

std::vector<SampledExpert> choose_sample(const Problem& problem, std::uint64_t seed) {
    const std::int64_t experts = std::max<std::int64_t>(1, problem.experts_used());
    const std::int64_t each = std::max<std::int64_t>(2 * enough_columns, sample_elements / experts);
    const auto side = static_cast<std::int64_t>(std::sqrt(static_cast<double>(each)));
    std::mt19937_64 random(seed);
    std::vector<SampledExpert> sample;
    for (std::int64_t expert = 0; expert < problem.spec().experts; ++expert) {
        const std::int64_t rows = problem.rows_of(expert);
        if (rows == 0) {
            continue;
        }
        // Of few rows, more columns each; never fewer than are enough.
        const std::int64_t columns = std::max(enough_columns, each / std::min(rows, side));
        SampledExpert chosen{.expert = expert,
                             .rows = choose(rows, std::max<std::int64_t>(2, each / columns), random),
                             .columns = choose(problem.spec().n, columns, random)};
        for (std::int64_t& row : chosen.rows) {
            row += problem.m_indptr()[static_cast<std::size_t>(expert)];
        }
        sample.push_back(std::move(chosen));
    }
    return sample;
}

std::int64_t Verifier::bytes_needed(const Problem& problem, VerifyMode mode) {
    if (mode == VerifyMode::off) {
        return 0;
    }
    const std::int64_t expected =
        is_whole(problem, mode)
            ? checked_mul({problem.rows(), problem.spec().n, static_cast<std::int64_t>(sizeof(double))}, "y")
            : sample_elements * std::int64_t{64};
    return checked_add(expected, 2 * staging_bytes, "y");
}

Verifier::Verifier(const Problem& problem, const OperandRows& rows, VerifyMode mode, std::uint64_t seed, Device& device,
                   ThreadTeam& team)
    : problem_(problem), rows_(rows), mode_(mode), device_(device), team_(team) {
    if (mode == VerifyMode::off || problem.rows() == 0) {
        return;
    }
    if (is_whole(problem, mode)) {
        compute_whole();
    } else {
        compute_sample(seed);
    }
    if (problem.spec().n < enough_columns) {
        compute_magnitudes();
    }
}

void Verifier::compute_whole() {
    const GemmSpec& spec = problem_.spec();
    const auto n = static_cast<std::size_t>(spec.n);
    chosen_.resize(static_cast<std::size_t>(problem_.rows()));
    for (std::size_t row = 0; row < chosen_.size(); ++row) {
        chosen_[row] = {static_cast<std::int64_t>(row), nullptr, std::vector<double>(n), {}};
    }
    // The reference runs in one thread: each thread computes slices of the columns.
    constexpr std::int64_t slice = 64;
    std::atomic<std::int64_t> next{0};
    team_.run([&](int) {
        for (std::int64_t first = next.fetch_add(slice); first < spec.n; first = next.fetch_add(slice)) {
            GemmSpec part = spec;
            part.n = std::min(slice, spec.n - first);
            const Problem problem = Problem::from(part, {problem_.m_indptr().begin(), problem_.m_indptr().end()});
            const std::vector<double> y = reference(problem, ColumnSlice(rows_, first));
            for (std::size_t row = 0; row < chosen_.size(); ++row) {
                std::copy_n(y.begin() + static_cast<std::int64_t>(row) * part.n, part.n,
                            chosen_[row].expected.begin() + first);
            }
        }
    });
}

void Verifier::compute_sample(std::uint64_t seed) {
    sample_ = choose_sample(problem_, seed);
    std::vector<Element> elements;
    for (const SampledExpert& sampled : sample_) {
        for (const std::int64_t row : sampled.rows) {
            chosen_.push_back({row, &sampled.columns, std::vector<double>(sampled.columns.size()), {}});
        }
        for (const std::int64_t column : sampled.columns) {
            for (const std::int64_t row : sampled.rows) {
                elements.push_back({row, sampled.expert, column});
            }
        }
    }
    std::vector<double> values(elements.size());
    team_.slices(static_cast<std::int64_t>(elements.size()), 1, [&](std::int64_t begin, std::int64_t end) {
        const auto first = static_cast<std::size_t>(begin);
        const auto count = static_cast<std::size_t>(end - begin);
        reference_elements(problem_.spec(), rows_, std::span(elements).subspan(first, count),
                           std::span(values).subspan(first, count));
    });
    std::size_t value = 0;
    std::size_t row_base = 0;
    for (const SampledExpert& sampled : sample_) {
        for (std::size_t column = 0; column < sampled.columns.size(); ++column) {
            for (std::size_t row = 0; row < sampled.rows.size(); ++row) {
                chosen_[row_base + row].expected[column] = values[value++];
            }
        }
        row_base += sampled.rows.size();
    }
}

void Verifier::compute_magnitudes() {
    // Σ|A·W| is about √K times as large as a sum of such products with random signs.
    const double scale = 1.0 / std::sqrt(static_cast<double>(problem_.spec().k));
    const Magnitudes magnitudes(rows_);
    team_.slices(static_cast<std::int64_t>(chosen_.size()), 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            Row& row = chosen_[static_cast<std::size_t>(i)];
            std::vector<Element> elements(row.expected.size());
            for (std::size_t c = 0; c < elements.size(); ++c) {
                elements[c] = {row.row, expert_of(row.row),
                               row.columns == nullptr ? static_cast<std::int64_t>(c) : (*row.columns)[c]};
            }
            row.magnitude.resize(elements.size());
            reference_elements(problem_.spec(), magnitudes, elements, row.magnitude);
            for (double& value : row.magnitude) {
                value *= scale;
            }
        }
    });
}

std::int64_t Verifier::expert_of(std::int64_t row) const {
    const auto m_indptr = problem_.m_indptr();
    return std::upper_bound(m_indptr.begin(), m_indptr.end(), row) - m_indptr.begin() - 1;
}

void Verifier::poison(Device& device, const Tensor& y) { device.set(y.data(), poison_byte, y.bytes()); }

void Verifier::check_poison(const std::byte* stored, std::int64_t first_row, std::int64_t row_count,
                            std::string& reason) const {
    const std::int64_t n = problem_.spec().n;
    const auto size = static_cast<std::size_t>(info(problem_.spec().dst).bytes);
    const auto count = static_cast<std::size_t>(row_count * n);
    for (std::size_t i = 0; i < count; ++i) {
        const void* const found = std::memchr(stored + i * size, poison_byte, (count - i) * size);
        if (found == nullptr) {
            return;
        }
        i = static_cast<std::size_t>(static_cast<const std::byte*>(found) - stored) / size;
        const auto* const bytes = reinterpret_cast<const std::uint8_t*>(stored + i * size);
        if (!std::all_of(bytes, bytes + size, [](std::uint8_t byte) { return byte == poison_byte; })) {
            continue;
        }
        const std::int64_t row = first_row + static_cast<std::int64_t>(i) / n;
        const Element element{row, expert_of(row), static_cast<std::int64_t>(i) % n};
        double expected = 0;
        reference_elements(problem_.spec(), rows_, {&element, 1}, {&expected, 1});
        if (!std::isnan(expected)) {
            reason = fmt::format("row {} (expert {}), column {} was not written", row, element.expert, element.column);
            return;
        }
    }
}

OutputCheck Verifier::check(const Tensor& y, Accumulation accumulation) const {
    OutputCheck found;
    found.verification.mode = mode_;
    if (mode_ == VerifyMode::off) {
        return found;
    }
    const GemmSpec& spec = problem_.spec();
    const std::int64_t row_bytes = spec.n * info(spec.dst).bytes;
    const std::int64_t rows_at_once = std::clamp<std::int64_t>(staging_bytes / row_bytes, 1, problem_.rows() + 1);
    std::vector<std::byte> staging(static_cast<std::size_t>(std::min(rows_at_once, problem_.rows()) * row_bytes));
    std::vector<double> whole_row(static_cast<std::size_t>(spec.n));
    std::vector<double> actual;
    Comparison comparison(spec.dst, tolerance_for(spec.dst, accumulation));
    std::string unwritten;
    auto next = chosen_.begin();
    for (std::int64_t first = 0; first < problem_.rows(); first += rows_at_once) {
        const std::int64_t count = std::min(rows_at_once, problem_.rows() - first);
        device_.copy_to_host(staging.data(), y.as<const std::byte>() + first * row_bytes, count * row_bytes);
        if (unwritten.empty()) {
            check_poison(staging.data(), first, count, unwritten);
        }
        for (; next != chosen_.end() && next->row < first + count; ++next) {
            decode_elements(spec.dst, staging.data() + (next->row - first) * row_bytes, whole_row);
            if (next->columns == nullptr) {
                comparison.add_row(next->row, {}, next->expected, whole_row, next->magnitude);
                continue;
            }
            actual.clear();
            for (const std::int64_t column : *next->columns) {
                actual.push_back(whole_row[static_cast<std::size_t>(column)]);
            }
            comparison.add_row(next->row, *next->columns, next->expected, actual, next->magnitude);
        }
    }
    found.verification.checked = comparison.checked();
    found.verification.relative_norm = comparison.relative_norm();
    found.verification.relative_max = comparison.relative_max();
    found.reason = unwritten.empty() ? comparison.reason() : unwritten;
    return found;
}

}  // namespace moegemm::bench
