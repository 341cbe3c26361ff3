// One grouped GEMM from f32 to a verified result: quantise, plan, pack, run, compare.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <random>
#include <vector>

#include <moegemm/formats/bf16.hpp>
#include <moegemm/provider.hpp>
#include <moegemm/quantize.hpp>
#include <moegemm/reference.hpp>

namespace {

std::vector<float> normal_values(std::int64_t count, unsigned seed) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) {
        value = normal(generator);
    }
    return values;
}

// Packed weights and workspaces start at a multiple of 64 bytes.
struct Bytes {
    explicit Bytes(std::size_t size) : storage(size + 64), count(static_cast<std::int64_t>(size)) {}
    moegemm::Tensor tensor() {
        const auto address = reinterpret_cast<std::uintptr_t>(storage.data());
        return {storage.data() + (64 - address % 64) % 64, moegemm::DType::u8, {count}};
    }
    std::vector<std::uint8_t> storage;
    std::int64_t count;
};

int run() {
    using namespace moegemm;

    // 64 tokens, each for 2 of 8 experts, as skewed as Zipf's law; nvfp4 weights and activations, bf16 out.
    Arguments arguments;
    arguments.routing.num_tokens = 64;
    arguments.routing.num_experts = 8;
    arguments.routing.topk = 2;
    arguments.hidden_size = 512;      // K
    arguments.new_hidden_size = 256;  // N
    arguments.dtype = arguments.w_dtype = arguments.compute_dtype = "nvfp4";
    const Problem problem = Problem::from(arguments, Routing::parse("zipf:1", 1));
    const GemmSpec& spec = problem.spec();

    QuantizedOperand a = quantize_tokens(problem, normal_values(problem.rows() * spec.k, 1));
    QuantizedOperand w = quantize_weights(spec, normal_values(spec.experts * spec.n * spec.k, 2));
    std::vector<float> alpha = combine_alpha(spec, a, w);
    std::vector<std::int32_t> m_indptr(problem.m_indptr().begin(), problem.m_indptr().end());
    std::vector<std::uint16_t> y(static_cast<std::size_t>(problem.rows() * spec.n));

    // The tensors of the call: each spec has a role, a type and a shape.
    Operands operands;
    for (const TensorSpec& tensor : tensor_specs(spec, problem.rows())) {
        void* data = nullptr;
        switch (tensor.role) {
            case Role::a:
                data = a.values.data();
                break;
            case Role::w:
                data = w.values.data();
                break;
            case Role::a_scale:
                data = a.scales.data();
                break;
            case Role::w_scale:
                data = w.scales.data();
                break;
            case Role::alpha:
                data = alpha.data();
                break;
            case Role::m_indptr:
                data = m_indptr.data();
                break;
            case Role::y:
                data = y.data();
                break;
        }
        operands[tensor.role] = Tensor(data, tensor.dtype, tensor.shape);
    }

    const auto provider = Registry::with_builtin().find("cpu");
    if (const Support support = provider->supports(spec); !support.supported) {
        std::printf("cpu cannot: %s\n", support.reason.c_str());
        return 1;
    }
    const auto plan = provider->plan(spec, {});
    Bytes packed(plan->packed_bytes());
    Bytes workspace(plan->workspace_bytes());
    Operands call = operands;
    call.workspace = workspace.tensor();
    if (plan->packed_bytes() > 0) {  // once for each set of weights
        plan->pack(call, packed.tensor());
        call.packed_w = packed.tensor();
        call.w = call.w_scale = Tensor();
    }
    plan->run(call);  // for each batch

    const std::vector<double> expected = reference(problem, HostOperandRows(spec, operands, problem.m_indptr()));
    double error = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const double difference = static_cast<double>(formats::Bf16::decode(y[i])) - expected[i];
        error += difference * difference;
        norm += expected[i] * expected[i];
    }
    const double relative = std::sqrt(error / norm);
    std::printf("%s: M %lld rows over %lld experts, N %lld, K %lld: relative error %.1e\n", plan->kernels()[0].c_str(),
                static_cast<long long>(problem.rows()), static_cast<long long>(spec.experts),
                static_cast<long long>(spec.n), static_cast<long long>(spec.k), relative);
    return relative < 0.004 ? 0 : 1;  // bf16 has 8 bits: each element is off by at most 2^-9
}

}  // namespace

int main() {
    try {
        return run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
