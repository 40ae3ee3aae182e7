"""recbench on Kubernetes: manifests from typed settings, checked by schemas."""

from recbench.cluster.kubernetes.dask import dask_cluster_spec
from recbench.cluster.kubernetes.settings import KubernetesSettings

__all__ = ["KubernetesSettings", "dask_cluster_spec"]
