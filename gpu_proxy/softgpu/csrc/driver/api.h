/* SPDX-License-Identifier: Apache-2.0
 *
 * The types of the driver interface and the prototypes of the functions that this library exports. The
 * prototypes are generated from the call table by build.py, so the compiler checks every definition.
 */
#ifndef SOFTGPU_API_H
#define SOFTGPU_API_H

#include "cuda_abi.h"
#include "api_prototypes.h"

#endif
