"""moe_quant_group_gemm by FlashInfer's own functions, in the five variants that have a grouped one.

moegemm gives the tensors' shapes and the sizes; nothing of it runs in the measured call.
"""

from flashinfer.gemm import (
    group_gemm_fp8_nt_groupwise,
    group_gemm_mxfp4_nt_groupwise,
    group_gemm_nvfp4_nt_groupwise,
)
from flashinfer.grouped_mm import grouped_mm_bf16, grouped_mm_fp8
from moegemm.xpu_perf import QuantGroupGemm
from xpu_perf.micro_perf.core.op import ProviderRegistry

# Each variant's function, what it takes beside a, b, m_indptr and out, and whether it wants each expert's rows padded
# to a multiple of 4.
FUNCTIONS = {
    "bf16": (grouped_mm_bf16, (), False),
    "fp8": (grouped_mm_fp8, ("alpha",), False),
    "fp8_block": (group_gemm_fp8_nt_groupwise, ("a_scale", "b_scale"), True),
    "mxfp4": (group_gemm_mxfp4_nt_groupwise, ("a_scale", "b_scale"), True),
    "nvfp4": (group_gemm_nvfp4_nt_groupwise, ("a_scale", "b_scale", "alpha"), True),
}
MAJOR_MODES = {"mn_major": "MN", "k_major": "K"}


@ProviderRegistry.register_vendor_impl("moe_quant_group_gemm", "flashinfer")
class FlashInferOp(QuantGroupGemm):
    def __init__(self, args_dict, backend, *args, **kwargs):
        super().__init__(args_dict, backend, *args, **kwargs)
        self.extra_providers = ["flashinfer"]

    def check(self):
        case = self.problem
        if case.scale_layout not in ("none", "swizzled_128x4", *MAJOR_MODES):
            raise ValueError(f"FlashInfer's functions take no scales of layout {case.scale_layout}")
        if case.variant == "fp8_block" and (case.n % 128 or case.k % 128):
            # It would stride over the scales of whole blocks only, and not say so.
            raise ValueError(f"FlashInfer's fp8_block wants multiples of 128, not N {case.n} and K {case.k}")

    def row_multiple(self):
        if self.problem.variant not in FUNCTIONS:
            raise ValueError(f"FlashInfer has no function for {self.problem.variant}, but for {', '.join(FUNCTIONS)}")
        return 4 if FUNCTIONS[self.problem.variant][2] else 1

    def vendor_impl_run(self, tensor_mapping):
        function, names, _ = FUNCTIONS[self.problem.variant]
        more = {name: tensor_mapping[name] for name in names if name in tensor_mapping}  # a case may have no alpha
        if self.problem.scale_layout in MAJOR_MODES:
            more["scale_major_mode"] = MAJOR_MODES[self.problem.scale_layout]
        return function(
            a=tensor_mapping["scatter_tokens"],
            b=tensor_mapping["experts_weight"],
            m_indptr=tensor_mapping["m_indptr"],
            out=tensor_mapping["y"],
            **more,
        )
