/* The attestation document: the SDK's libnsm is one CBOR request through an ioctl on /dev/nsm. */
#include "double.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define NSM_DEVICE "/dev/nsm"
#define NSM_IOCTL 0xC0200A00UL
#define NSM_MAX_REQUEST 0x1000
#define NSM_MAX_RESPONSE 0x3000

struct nsm_message {
    uint64_t request, request_length, response, response_length;
};

/* ---- CBOR, as much of it as two messages need ---- */

enum major { CBOR_BYTES = 2, CBOR_TEXT = 3, CBOR_MAP = 5 };

static void put_head(struct bytes *out, enum major major, size_t value)
{
    uint8_t type = (uint8_t)(major << 5);
    if (value < 24) bytes_append(out, (uint8_t[]){type | (uint8_t)value}, 1);
    else if (value < 0x100) bytes_append(out, (uint8_t[]){type | 24, (uint8_t)value}, 2);
    else bytes_append(out, (uint8_t[]){type | 25, (uint8_t)(value >> 8), (uint8_t)value}, 3);
}

static void put_text(struct bytes *out, const char *text)
{
    put_head(out, CBOR_TEXT, strlen(text));
    bytes_text(out, text);
}

static void put_null(struct bytes *out)
{
    bytes_append(out, "\xf6", 1);
}

static bool take_head(struct slice *in, enum major major, size_t *value)
{
    if (in->length == 0 || in->data[0] >> 5 != major) return false;
    size_t extra = 0, additional = in->data[0] & 31;
    *value = additional;
    if (additional >= 24) {
        if (additional > 27) return false; /* indefinite lengths are not NSM's */
        extra = (size_t)1 << (additional - 24);
        if (in->length < 1 + extra) return false;
        *value = 0;
        for (size_t i = 1; i <= extra; i++) *value = *value << 8 | in->data[i];
    }
    in->data += 1 + extra;
    in->length -= 1 + extra;
    return true;
}

static bool take_string(struct slice *in, enum major major, struct slice *out)
{
    size_t length;
    if (!take_head(in, major, &length) || length > in->length) return false;
    *out = (struct slice){in->data, length};
    in->data += length;
    in->length -= length;
    return true;
}

static bool take_map_of_one(struct slice *in, const char *key)
{
    size_t entries;
    struct slice name;
    return take_head(in, CBOR_MAP, &entries) && entries == 1 && take_string(in, CBOR_TEXT, &name) &&
           name.length == strlen(key) && memcmp(name.data, key, name.length) == 0;
}

/* ---- the exchange ---- */

static void put_request(struct bytes *out, const uint8_t *public_key, size_t length)
{
    put_head(out, CBOR_MAP, 1);
    put_text(out, "Attestation");
    put_head(out, CBOR_MAP, 3);
    put_text(out, "user_data");
    put_null(out);
    put_text(out, "nonce");
    put_null(out);
    put_text(out, "public_key");
    put_head(out, CBOR_BYTES, length);
    bytes_append(out, public_key, length);
}

static bool exchange(const struct bytes *request, uint8_t *response, size_t *response_length)
{
    int device = open(NSM_DEVICE, O_RDWR | O_CLOEXEC);
    if (device < 0) return false;
    struct nsm_message message = {(uintptr_t)request->data, request->length, (uintptr_t)response, NSM_MAX_RESPONSE};
    bool ok = ioctl(device, NSM_IOCTL, &message) == 0 && message.response_length <= NSM_MAX_RESPONSE;
    close(device);
    *response_length = message.response_length;
    return ok;
}

static bool read_document(const uint8_t *response, size_t length, struct bytes *document)
{
    struct slice in = {response, length}, bytes;
    if (!take_map_of_one(&in, "Attestation") || !take_map_of_one(&in, "document")) return false; /* or "Error" */
    if (!take_string(&in, CBOR_BYTES, &bytes) || in.length != 0) return false;
    bytes_append(document, bytes.data, bytes.length);
    return true;
}

bool attestation_document(const struct aws_rsa_keypair *keypair, struct bytes *document)
{
    uint8_t *public_key = NULL; /* allocated by libcrypto's malloc, which is libc's */
    int length = crypto()->i2d_PUBKEY(keypair->key_impl, &public_key);
    if (length <= 0) return false;
    struct bytes request = {0};
    put_request(&request, public_key, (size_t)length);
    free(public_key);
    uint8_t *response = calloc(1, NSM_MAX_RESPONSE);
    size_t response_length = 0;
    bool ok = response && request.length <= NSM_MAX_REQUEST && exchange(&request, response, &response_length) &&
              read_document(response, response_length, document);
    free(response);
    bytes_wipe(&request);
    return ok;
}

EXPORT int aws_attestation_request(struct aws_allocator *allocator, struct aws_rsa_keypair *keypair,
                                   struct aws_byte_buf *attestation_doc)
{
    double_called(__func__);
    if (!allocator) allocator = double_library_allocator(__func__);
    double_expect_zeroed(attestation_doc, __func__);
    if (!double_pin(KIND_KEYPAIR, keypair, __func__)) return double_failed(__func__), OP_ERR;
    struct bytes document = {0};
    bool ok = !double_enter(__func__) && attestation_document(keypair, &document);
    if (ok) double_fill(attestation_doc, allocator, document.data, document.length, __func__);
    else double_failed(__func__);
    bytes_wipe(&document);
    if (double_unpin(keypair)) keypair_free(keypair);
    return ok ? OP_SUCCESS : OP_ERR;
}
