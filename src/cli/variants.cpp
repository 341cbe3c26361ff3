#include <iostream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/console.hpp"

#include <moegemm/variant.hpp>

namespace moegemm::cli {
namespace {

std::vector<std::string_view> layouts_of(const VariantInfo& row) {
    std::vector<std::string_view> names;
    for (const ScaleLayout layout : row.layouts) {
        if (layout != ScaleLayout::none) {
            names.push_back(to_string(layout));
        }
    }
    return names;
}

std::string_view alpha_text(Alpha alpha) {
    switch (alpha) {
        case Alpha::none:
            return "none";
        case Alpha::tensor:
            return "(1)";
        case Alpha::expert:
            return "(E)";
    }
    return "none";
}

void print_json() {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const VariantInfo& row : variants) {
        nlohmann::ordered_json& item = all.emplace_back();
        item["name"] = row.name;
        item["dtype"] = row.types[0];
        item["w_dtype"] = row.types[1];
        item["compute_dtype"] = row.types[2];
        item["a"] = info(row.a).name;
        item["w"] = info(row.w).name;
        item["scale_group"] = row.scale_group;
        item["scale_layouts"] = layouts_of(row);
        item["alpha"] = alpha_text(row.alpha);
        item["k_granularity"] = row.k_granularity;
        item["formula"] = row.formula;
    }
    std::cout << all.dump(2) << '\n';
}

void print_table() {
    std::vector<std::vector<std::string>> rows{
        {"variant", "dtype, w_dtype, compute_dtype", "A", "W", "scales along K", "K", "y[i, n]"}};
    for (const VariantInfo& row : variants) {
        const std::vector<std::string_view> layouts = layouts_of(row);
        rows.push_back({std::string(row.name), fmt::format("{}", fmt::join(row.types, ", ")),
                        std::string(info(row.a).name), std::string(info(row.w).name),
                        layouts.empty() ? "-" : fmt::format("per {}: {}", row.scale_group, fmt::join(layouts, ", ")),
                        fmt::format("% {}", row.k_granularity), std::string(row.formula)});
    }
    print_columns(rows);
    std::cout << "\ndst_dtype of every variant: bfloat16, float16, float32. e4m3 also stands for e5m2, where the data "
                 "type's name says so.\n";
}

}  // namespace

void add_variants(CLI::App& app, Action& action) {
    CLI::App* command = app.add_subcommand("variants", "List the variants of the op: data types, scales, formula");
    command->footer(
        "Examples:\n"
        "  moegemm variants\n"
        "  moegemm variants --json");
    auto json = std::make_shared<bool>(false);
    command->add_flag("--json", *json, "Print JSON");
    command->callback([json, &action] {
        action = [json] {
            *json ? print_json() : print_table();
            return exit_ok;
        };
    });
}

}  // namespace moegemm::cli
