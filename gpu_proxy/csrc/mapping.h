/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VX_MAPPING_H
#define VX_MAPPING_H

#include <stdint.h>

/* All return 0 or -errno. Addresses inside the window replace its reservation; outside of it a mapping
 * that exists is never replaced. */
int vx_window_reserve(uint64_t base, uint64_t bytes);
int vx_window_map(uint64_t address, uint64_t bytes, int fd);
int vx_window_unmap(uint64_t address, uint64_t bytes);
int vx_map_new(uint64_t address, uint64_t bytes, int fd);
int vx_unmap(uint64_t address, uint64_t bytes);

#endif
