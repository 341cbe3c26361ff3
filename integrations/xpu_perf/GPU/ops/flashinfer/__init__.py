import importlib.metadata

from xpu_perf.micro_perf.core.op import ProviderRegistry

PROVIDER_NAME = "flashinfer"

# The suite ends where this file fails. That a package is missing it says of the file beside this one, which imports it.
try:
    ProviderRegistry.register_provider_info(
        PROVIDER_NAME, {"flashinfer-python": importlib.metadata.version("flashinfer-python")}
    )
except importlib.metadata.PackageNotFoundError:
    pass
