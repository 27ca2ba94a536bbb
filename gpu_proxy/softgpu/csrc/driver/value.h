/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking stream memory operations, for streams and for graph nodes.
 */
#ifndef SOFTGPU_VALUE_H
#define SOFTGPU_VALUE_H

#include "stream.h"

CUresult value_check(const CUstreamBatchMemOpParams *operation);

#endif
