#include "fronts.h"
CUresult vgpu_front_enumerate_functions(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_enumerate_kernels(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_add_host_node(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_add_kernel_node(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_add_kernel_node_v2(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_add_memcpy_node(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_add_memset_node(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_add_node(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_add_node_v2(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_exec_host_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_exec_kernel_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_exec_kernel_node_set_params_v2(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_exec_memcpy_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_exec_memset_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_exec_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_host_node_get_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_host_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_kernel_node_get_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_kernel_node_get_params_v2(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_kernel_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_kernel_node_set_params_v2(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_memcpy_node_get_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_memcpy_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_memset_node_get_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_memset_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_node_get_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_graph_node_set_params(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_ipc_close_mem_handle(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_ipc_open_mem_handle(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_link_add_data(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_link_add_file(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_link_complete(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_link_create(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_occupancy_max_active_clusters(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_occupancy_max_potential_block_size(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_occupancy_max_potential_block_size_with_flags(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_occupancy_max_potential_cluster_size(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_stream_begin_capture(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_stream_begin_capture_to_graph(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_stream_begin_capture_v2(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_stream_end_capture(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_stream_get_capture_info(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_stream_get_capture_info_v2(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_stream_get_capture_info_v3(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_stream_is_capturing(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_tensor_map_encode_im2col(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_tensor_map_encode_im2col_wide(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_tensor_map_encode_tiled(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
CUresult vgpu_front_user_object_create(const struct vgpu_entry *entry, void *const args[])
{ (void)entry; (void)args; return CUDA_ERROR_NOT_SUPPORTED; }
