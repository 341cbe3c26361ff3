"""moe_quant_group_gemm by moegemm: every variant, by the fastest of its providers on the device."""

import moegemm
from moegemm.xpu_perf import QuantGroupGemm
from xpu_perf.micro_perf.core.op import ProviderRegistry


@ProviderRegistry.register_vendor_impl("moe_quant_group_gemm", "moegemm")
class MoegemmOp(QuantGroupGemm):
    def __init__(self, args_dict, backend, *args, **kwargs):
        super().__init__(args_dict, backend, *args, **kwargs)
        self.extra_providers = ["moegemm"]

    def vendor_impl(self):
        super().vendor_impl()
        case = self.problem
        device = self.backend.get_torch_device_name()
        if device == "cuda":
            device = f"cuda:{self.backend.get_device()}"
        self.plan = moegemm.plan(
            case.variant,
            experts=case.experts,
            n=case.n,
            k=case.k,
            max_rows=self.rows,
            dst_dtype=case.dst_dtype,
            alpha=case.has_alpha,
            a_dtype=case.a_dtype,
            w_dtype=case.w_dtype,
            scale_layout=case.scale_layout,
            device=device,
        )
        self.tensor_size += self.plan.packed_bytes

    def _create_tensors(self, instance_num):
        mappings = super()._create_tensors(instance_num)
        if self.plan.packed_bytes:  # once for a layer's weights, so before anything is timed
            for mapping in mappings:
                mapping["packed_weights"] = self.plan.pack(mapping["experts_weight"], **self._weight_scales(mapping))
        return mappings

    @staticmethod
    def _weight_scales(mapping):
        return {name: mapping[name] for name in ("b_scale", "experts_scale") if name in mapping}

    def vendor_impl_run(self, tensor_mapping):
        given = tensor_mapping
        scales = {name: given[name] for name in ("a_scale", "per_token_scale", "alpha") if name in given}
        if "packed_weights" in given:
            scales["packed_weights"] = given["packed_weights"]
        else:
            scales |= {"experts_weight": given["experts_weight"], **self._weight_scales(given)}
        return self.plan.run(given["scatter_tokens"], given["m_indptr"], out=given["y"], **scales)
