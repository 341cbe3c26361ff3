// An expert layer as an inference engine holds it: planned and packed once, then run for batch after batch, whatever
// the router does. `engine [FOLDER]`: with the plug-ins of that folder.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include <moegemm/error.hpp>
#include <moegemm/formats/bf16.hpp>
#include <moegemm/packed_file.hpp>
#include <moegemm/provider.hpp>
#include <moegemm/quantize.hpp>
#include <moegemm/reference.hpp>

namespace {

using namespace moegemm;

// Packed weights and workspaces start at a multiple of 64 bytes.
struct Bytes {
    explicit Bytes(std::size_t size) : storage(size + 64), count(static_cast<std::int64_t>(size)) {}
    std::uint8_t* data() {
        const auto address = reinterpret_cast<std::uintptr_t>(storage.data());
        return storage.data() + (64 - address % 64) % 64;
    }
    Tensor tensor() { return {data(), DType::u8, {count}}; }
    std::span<std::uint8_t> bytes() { return {data(), static_cast<std::size_t>(count)}; }
    std::vector<std::uint8_t> storage;
    std::int64_t count;
};

// The first provider for host memory that takes the layer, or why none does. The float64 reference is no contender.
std::shared_ptr<const Provider> choose_provider(const Registry& registry, const GemmSpec& spec) {
    std::string reasons;
    for (const auto& provider : registry.providers()) {
        const ProviderInfo& info = provider->info();
        if (info.device_type != kDLCPU || info.name == "reference") {
            continue;
        }
        const Support support = provider->supports(spec);
        if (support.supported) {
            return provider;
        }
        reasons += info.name + ": " + support.reason + "; ";
    }
    throw Error(ErrorCode::unsupported, "provider", reasons, "one that takes this layer");
}

class ExpertLayer {
public:
    // weights: w and w_scale; both may be freed afterwards where the plan packs.
    ExpertLayer(const Provider& provider, const GemmSpec& spec, const Operands& weights)
        : plan_(provider.plan(spec, {})), packed_(plan_->packed_bytes()), workspace_(plan_->workspace_bytes()) {
        if (plan_->packed_bytes() > 0) {
            plan_->pack(weights, packed_.tensor());
            call_.packed_w = packed_.tensor();
        } else {
            call_.w = weights.w;
            call_.w_scale = weights.w_scale;
        }
        call_.workspace = workspace_.tensor();
    }

    // A layer that was packed and saved before: a file of other weights, or of another provider, is refused.
    ExpertLayer(const Provider& provider, const GemmSpec& spec, std::istream& file)
        : plan_(provider.plan(spec, {})), packed_(plan_->packed_bytes()), workspace_(plan_->workspace_bytes()) {
        load_packed(file, provider.info(), spec, packed_.bytes());
        call_.packed_w = packed_.tensor();
        call_.workspace = workspace_.tensor();
    }

    void save(const Provider& provider, std::ostream& file) {
        save_packed(file, provider.info(), plan_->spec(), packed_.bytes());
    }

    // tokens: rows packed by expert; m_indptr says which are whose. Neither allocates nor plans.
    void run(const Tensor& tokens, const Tensor& m_indptr, const Tensor& y) {
        call_.a = tokens;
        call_.m_indptr = m_indptr;
        call_.y = y;
        plan_->run(call_);
    }

private:
    std::unique_ptr<Plan> plan_;
    Bytes packed_;
    Bytes workspace_;
    Operands call_;
};

std::vector<float> normal_values(std::int64_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
        value = normal(generator);
    }
    return values;
}

int run(int argc, char** argv) {
    Registry registry = Registry::with_builtin();
    if (argc > 1) {
        for (const std::string& refused : registry.load_plugins(argv[1])) {
            std::fprintf(stderr, "%s\n", refused.c_str());
        }
    }

    // The layer: tokens in bf16, weights in mxfp4, up to 128 rows in a batch.
    GemmSpec spec;
    spec.variant = Variant::mxfp4_a16;
    spec.a = DType::bf16;
    spec.w = DType::e2m1x2;
    spec.dst = DType::bf16;
    spec.scale_layout = ScaleLayout::swizzled_128x4;
    spec.experts = 8;
    spec.n = 256;
    spec.k = 512;
    spec.max_rows = 128;

    QuantizedOperand w = quantize_weights(spec, normal_values(spec.experts * spec.n * spec.k, 1));
    Operands weights;
    for (const TensorSpec& tensor : tensor_specs(spec, 0)) {
        if (tensor.role == Role::w) {
            weights.w = Tensor(w.values.data(), tensor.dtype, tensor.shape);
        } else if (tensor.role == Role::w_scale) {
            weights.w_scale = Tensor(w.scales.data(), tensor.dtype, tensor.shape);
        }
    }
    const std::shared_ptr<const Provider> provider = choose_provider(registry, spec);
    std::stringstream file;  // or a std::fstream
    ExpertLayer(*provider, spec, weights).save(*provider, file);
    ExpertLayer layer(*provider, spec, file);

    for (const std::int64_t tokens : {1, 5, 64}) {
        // What the engine's router and its dispatch do.
        const RoutingArguments arguments{tokens, spec.experts, 2};
        std::vector<std::int32_t> m_indptr{0};
        for (const std::int64_t rows : route_counts(arguments, Routing::parse("zipf:1", 7))) {
            m_indptr.push_back(m_indptr.back() + static_cast<std::int32_t>(rows));
        }
        const Problem problem = Problem::from(spec, m_indptr);
        QuantizedOperand a = quantize_tokens(problem, normal_values(problem.rows() * spec.k, 2));
        std::vector<std::uint16_t> y(static_cast<std::size_t>(problem.rows() * spec.n));

        Operands call = weights;  // for the reference below
        call.a = Tensor(a.values.data(), DType::bf16, {problem.rows(), spec.k});
        call.m_indptr = Tensor(m_indptr.data(), DType::i32, {spec.experts + 1});
        call.y = Tensor(y.data(), DType::bf16, {problem.rows(), spec.n});
        layer.run(call.a, call.m_indptr, call.y);

        const std::vector<double> expected = reference(problem, HostOperandRows(problem.spec(), call, m_indptr));
        double error = 0.0;
        double norm = 0.0;
        for (std::size_t i = 0; i < y.size(); ++i) {
            const double difference = static_cast<double>(formats::Bf16::decode(y[i])) - expected[i];
            error += difference * difference;
            norm += expected[i] * expected[i];
        }
        const double relative = std::sqrt(error / norm);
        std::printf("%lld rows: relative error %.1e\n", static_cast<long long>(problem.rows()), relative);
        if (!(relative < 0.004)) {  // bf16 has 8 bits: each element is off by at most 2^-9
            return 1;
        }
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
