/* SPDX-License-Identifier: Apache-2.0
 *
 * cuLink: one PTX input becomes an image that cuModuleLoadData accepts. Joining several inputs would need a
 * linker for PTX and is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "module.h"

struct link {
    struct object object;
    struct jit_log log;
    char *text; /* terminated: the image that cuLinkComplete hands out */
    size_t bytes;
};

static void link_free(struct object *object)
{
    struct link *link = (struct link *)object;
    context_disown(object);
    free(link->text);
    free(link);
}

CUresult cuLinkCreate_v2(unsigned int count, CUjit_option *options, void **values, CUlinkState *state)
{
    ENTER_CONTEXT(context);
    NEED(state && (!count || (options && values)));
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return CUDA_ERROR_OUT_OF_MEMORY;
    jit_log_parse(&link->log, count, options, values);
    if (context_adopt(context, &link->object, KIND_LINK, link_free)) {
        free(link);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *state = AS_HANDLE(CUlinkState, link);
    return CUDA_SUCCESS;
}

static CUresult add(struct link *link, CUjitInputType type, const void *data, size_t bytes, const char *name)
{
    if (type != CU_JIT_INPUT_PTX || link->text) {
        driver_log("cuLink: %s: only one PTX input is supported", name ? name : "input");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    NEED(data && bytes && bytes <= IMAGE_BYTES_MAX);
    link->text = calloc(1, bytes + 1);
    if (!link->text)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memcpy(link->text, data, bytes);
    link->bytes = strlen(link->text) + 1;
    return CUDA_SUCCESS;
}

CUresult cuLinkAddData_v2(CUlinkState state, CUjitInputType type, void *data, size_t bytes, const char *name,
                          unsigned int count, CUjit_option *options, void **values)
{
    ENTER_CONTEXT(context);
    (void)context;
    NEED(!count || (options && values));
    struct link *link = object_get(HANDLE(state), KIND_LINK);
    if (!link)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = add(link, type, data, bytes, name);
    object_put(&link->object);
    return result;
}

CUresult cuLinkAddFile_v2(CUlinkState state, CUjitInputType type, const char *path, unsigned int count,
                          CUjit_option *options, void **values)
{
    void *data = NULL;
    ENTER();
    TRY(image_read_file(path, &data));
    /* The file's contents are terminated, and PTX is text. */
    CUresult result = cuLinkAddData_v2(state, type, data, strlen(data) + 1, path, count, options, values);
    free(data);
    return result;
}

CUresult cuLinkComplete(CUlinkState state, void **image, size_t *bytes)
{
    struct code *code = NULL;
    ENTER_CONTEXT(context);
    (void)context;
    struct link *link = object_get(HANDLE(state), KIND_LINK);
    if (!link)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult result = link->text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    if (!result) /* errors belong here; the helper remembers what it has compiled */
        result = code_load_bytes(link->text, link->bytes, &link->log, &code);
    if (!result) {
        code_put(code);
        if (image)
            *image = link->text;
        if (bytes)
            *bytes = link->bytes;
    }
    object_put(&link->object);
    return result;
}

CUresult cuLinkDestroy(CUlinkState state)
{
    ENTER();
    struct link *link = object_get(HANDLE(state), KIND_LINK);
    if (!link)
        return CUDA_ERROR_INVALID_HANDLE;
    if (object_kill(&link->object))
        object_put(&link->object);
    object_put(&link->object);
    return CUDA_SUCCESS;
}

CUresult cuLinkCreate(unsigned int count, CUjit_option *options, void **values, CUlinkState *state)
{
    return cuLinkCreate_v2(count, options, values, state);
}

CUresult cuLinkAddData(CUlinkState state, CUjitInputType type, void *data, size_t bytes, const char *name,
                       unsigned int count, CUjit_option *options, void **values)
{
    return cuLinkAddData_v2(state, type, data, bytes, name, count, options, values);
}

CUresult cuLinkAddFile(CUlinkState state, CUjitInputType type, const char *path, unsigned int count,
                       CUjit_option *options, void **values)
{
    return cuLinkAddFile_v2(state, type, path, count, options, values);
}
