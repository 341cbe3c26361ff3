#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "bench/conformance.hpp"
#include "bench/record.hpp"
#include "bench/text_file.hpp"

#include <moegemm/error.hpp>

namespace moegemm::bench {
namespace {

using Json = nlohmann::ordered_json;

/// An object of the manifest, and how messages call it.
class Node {
public:
    Node(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
        if (!json.is_object()) {
            fail(where_, printable(json.dump()), "an object");
        }
    }

    [[noreturn]] static void fail(const std::string& where, std::string value, std::string allowed) {
        throw Error(ErrorCode::parse, where, std::move(value), std::move(allowed));
    }

    [[nodiscard]] std::string name_of(std::string_view key) const { return fmt::format("{}: key \"{}\"", where_, key); }

    [[nodiscard]] bool has(std::string_view key) const {
        const auto found = json_.find(key);
        return found != json_.end() && !found->is_null();
    }

    [[nodiscard]] const Json& at(std::string_view key) const {
        if (!has(key)) {
            fail(name_of(key), "missing", "a value");
        }
        return *json_.find(key);
    }

    [[nodiscard]] Node child(std::string_view key) const { return {at(key), name_of(key)}; }

    [[nodiscard]] std::string text(std::string_view key) const {
        const Json& value = at(key);
        if (!value.is_string()) {
            fail(name_of(key), printable(value.dump()), "a text");
        }
        return value.get<std::string>();
    }

    [[nodiscard]] std::int64_t integer(std::string_view key) const { return to_integer(at(key), name_of(key)); }

    [[nodiscard]] std::vector<std::int64_t> integers(std::string_view key) const {
        std::vector<std::int64_t> values;
        for (const Json& item : list(key)) {
            values.push_back(to_integer(item, name_of(key)));
        }
        return values;
    }

    [[nodiscard]] const Json& list(std::string_view key) const {
        const Json& value = at(key);
        if (!value.is_array()) {
            fail(name_of(key), printable(value.dump()), "a list");
        }
        return value;
    }

    [[nodiscard]] double positive(std::string_view key) const {
        const Json& value = at(key);
        const double number = value.is_number() ? value.get<double>() : -1.0;
        if (!(number >= 0.0) || !std::isfinite(number)) {
            fail(name_of(key), printable(value.dump()), "a number from 0");
        }
        return number;
    }

private:
    static std::int64_t to_integer(const Json& value, const std::string& where) {
        // Shapes and offsets: whole and not negative.
        if (!value.is_number_unsigned() ||
            value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
            fail(where, printable(value.dump()), "a whole number from 0 to 2^63 - 1");
        }
        return value.get<std::int64_t>();
    }

    const Json& json_;
    std::string where_;
};

/// Errors of the floors below, with the folder before the argument's name.
template <class Function>
auto in_folder(const std::string& folder, const Function& function) {
    try {
        return function();
    } catch (const Error& error) {
        if (error.argument().starts_with(folder)) {
            throw;
        }
        throw Error(error.code(), fmt::format("{}: {}", folder, error.argument()), error.value(), error.allowed());
    }
}

TensorFile read_tensor_file(const Node& node) {
    const std::string dtype = node.text("dtype");
    const std::optional<DType> type = find_dtype(dtype);
    if (!type) {
        std::vector<std::string_view> names;
        std::transform(dtypes.begin(), dtypes.end(), std::back_inserter(names),
                       [](const DTypeInfo& row) { return row.name; });
        Node::fail(node.name_of("dtype"), printable(dtype), fmt::format("one of {}", fmt::join(names, ", ")));
    }
    std::string file = node.text("file");
    if (file.empty() || file.find_first_of(std::string_view("/\\\0", 3)) != std::string::npos ||
        file.starts_with('.')) {
        Node::fail(node.name_of("file"), printable(file), "the name of a file in the case's folder");
    }
    return {node.text("name"), *type, node.integers("shape"), std::move(file)};
}

Tolerance read_tolerance(const Node& node) { return {node.positive("relative_norm"), node.positive("relative_max")}; }

ScaleLayout read_layout(const Node& arguments, const VariantInfo& row) {
    if (!arguments.has("scale_layout")) {
        return row.layouts[0];
    }
    const std::string name = arguments.text("scale_layout");
    const auto* const found = std::find(scale_layout_names.begin(), scale_layout_names.end(), name);
    if (found == scale_layout_names.end()) {
        Node::fail(arguments.name_of("scale_layout"), printable(name),
                   fmt::format("one of {}", fmt::join(scale_layout_names, ", ")));
    }
    return static_cast<ScaleLayout>(found - scale_layout_names.begin());
}

std::vector<std::int32_t> read_m_indptr(const Node& arguments) {
    std::vector<std::int32_t> m_indptr;
    for (const std::int64_t offset : arguments.integers("m_indptr")) {
        if (offset > std::numeric_limits<std::int32_t>::max()) {
            Node::fail(arguments.name_of("m_indptr"), fmt::format("{}", offset), "offsets below 2^31");
        }
        m_indptr.push_back(static_cast<std::int32_t>(offset));
    }
    return m_indptr;
}

/// A case that names its routing says the same twice.
void check_routing(const Node& arguments, const Problem& problem) {
    if (!arguments.has("num_tokens") || !arguments.has("num_experts") || !arguments.has("topk")) {
        return;
    }
    RoutingArguments routing;
    routing.num_tokens = arguments.integer("num_tokens");
    routing.num_experts = arguments.integer("num_experts");
    routing.topk = arguments.integer("topk");
    routing.ep_size = arguments.has("ep_size") ? arguments.integer("ep_size") : 1;
    routing.ep_rank = arguments.has("ep_rank") ? arguments.integer("ep_rank") : 0;
    routing.check();
    if (routing.experts_per_rank() != problem.spec().experts) {
        Node::fail(arguments.name_of("num_experts_per_rank"), fmt::format("{}", problem.spec().experts),
                   fmt::format("num_experts / ep_size = {}", routing.experts_per_rank()));
    }
    std::vector<std::int64_t> rows;
    for (std::int64_t expert = 0; expert < problem.spec().experts; ++expert) {
        rows.push_back(problem.rows_of(expert));
    }
    if (rows != route_counts(routing, Routing{})) {
        Node::fail(arguments.name_of("m_indptr"), "other rows than its routing's",
                   "the balanced routing of num_tokens, num_experts, topk, ep_size and ep_rank");
    }
}

Problem read_problem(const Node& root) {
    const Node arguments = root.child("arguments");
    const std::string variant = root.text("variant");
    const std::optional<Variant> named = find_variant(variant);
    if (!named) {
        std::vector<std::string_view> names;
        std::transform(variants.begin(), variants.end(), std::back_inserter(names),
                       [](const VariantInfo& row) { return row.name; });
        Node::fail(root.name_of("variant"), printable(variant), fmt::format("one of {}", fmt::join(names, ", ")));
    }
    const TypedVariant typed = resolve_variant(arguments.text("dtype"), arguments.text("w_dtype"),
                                               arguments.text("compute_dtype"), arguments.text("dst_dtype"));
    if (typed.variant != *named) {
        Node::fail(root.name_of("variant"), variant,
                   fmt::format("what the data types name: {}", info(typed.variant).name));
    }
    GemmSpec spec;
    spec.variant = typed.variant;
    spec.a = typed.a;
    spec.w = typed.w;
    spec.dst = typed.dst;
    spec.scale_layout = read_layout(arguments, spec.row());
    spec.experts = arguments.integer("num_experts_per_rank");
    spec.n = arguments.integer("new_hidden_size");
    spec.k = arguments.integer("hidden_size");
    const Json& tensors = root.list("tensors");
    spec.has_alpha = std::any_of(tensors.begin(), tensors.end(), [](const Json& tensor) {
        return tensor.is_object() && tensor.contains("name") && tensor["name"] == "alpha";
    });
    Problem problem = Problem::from(spec, read_m_indptr(arguments));
    check_routing(arguments, problem);
    return problem;
}

std::string describe(DType dtype, std::span<const std::int64_t> shape) {
    return fmt::format("{} ({})", info(dtype).name, fmt::join(shape, ", "));
}

/// The file of each input of the problem.
std::vector<TensorFile> match_inputs(std::vector<TensorFile> files, const Problem& problem, const std::string& folder) {
    std::vector<TensorFile> inputs;
    for (const TensorSpec& spec : tensor_specs(problem.spec(), problem.rows())) {
        if (spec.role == Role::y) {
            continue;
        }
        const auto found =
            std::find_if(files.begin(), files.end(), [&](const TensorFile& file) { return file.name == spec.name; });
        const std::string where = fmt::format("{}: tensor {}", folder, spec.name);
        if (found == files.end()) {
            Node::fail(where, "missing", describe(spec.dtype, spec.shape));
        }
        if (found->dtype != spec.dtype || found->shape != spec.shape) {
            Node::fail(where, describe(found->dtype, found->shape), describe(spec.dtype, spec.shape));
        }
        inputs.push_back(std::move(*found));
        files.erase(found);
    }
    return inputs;
}

}  // namespace

Manifest parse_manifest(std::string_view text, const std::string& folder) {
    const std::string where = printable(folder, 4096);
    const Json document = parse_json(text, where + "/manifest.json");
    const Node root(document, where);
    if (root.integer("format") != 1) {
        Node::fail(root.name_of("format"), printable(root.at("format").dump()), "1");
    }
    if (root.text("op") != op_name) {
        Node::fail(root.name_of("op"), printable(root.text("op")), std::string(op_name));
    }
    Problem problem = in_folder(where, [&] { return read_problem(root); });
    std::vector<TensorFile> files;
    for (const Json& tensor : root.list("tensors")) {
        files.push_back(read_tensor_file({tensor, fmt::format("{}: tensor {}", where, files.size())}));
    }
    std::vector<TensorFile> inputs = match_inputs(std::move(files), problem, where);
    TensorFile expected = read_tensor_file(root.child("expected"));
    const std::vector<std::int64_t> y_shape{problem.rows(), problem.spec().n};
    if (expected.dtype != DType::f64 || expected.shape != y_shape) {
        Node::fail(root.name_of("expected"), describe(expected.dtype, expected.shape), describe(DType::f64, y_shape));
    }
    std::vector<std::string> required;
    if (root.has("requires")) {
        for (const Json& item : root.list("requires")) {
            if (!item.is_string()) {
                Node::fail(root.name_of("requires"), printable(item.dump()), "texts");
            }
            required.push_back(item.get<std::string>());
        }
    }
    std::optional<Tolerance> promoted;
    if (root.has("tolerance_promoted")) {
        promoted = read_tolerance(root.child("tolerance_promoted"));
    }
    return {std::move(problem), std::move(inputs),  std::move(expected), read_tolerance(root.child("tolerance")),
            promoted,           std::move(required)};
}

}  // namespace moegemm::bench
