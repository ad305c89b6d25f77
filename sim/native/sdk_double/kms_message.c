/* What goes to KMS and what comes back: JSON, base64 and the CMS envelope. */
#include "double.h"

#include <stdio.h>

/* ---- base64 ---- */

static void put_base64(struct bytes *out, const uint8_t *data, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        size_t rest = length - i;
        uint32_t group = (uint32_t)data[i] << 16;
        if (rest > 1) group |= (uint32_t)data[i + 1] << 8;
        if (rest > 2) group |= data[i + 2];
        char text[] = {digits[group >> 18], digits[group >> 12 & 63], rest > 1 ? digits[group >> 6 & 63] : '=',
                       rest > 2 ? digits[group & 63] : '='};
        bytes_append(out, text, sizeof text);
    }
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool take_base64(const struct bytes *text, struct bytes *out)
{
    if (text->length % 4) return false;
    for (size_t i = 0; i < text->length; i += 4) {
        size_t digits = 4;
        if (i + 4 == text->length)
            while (digits > 2 && text->data[i + digits - 1] == '=') digits--;
        uint32_t group = 0;
        for (size_t j = 0; j < 4; j++) {
            int digit = j < digits ? base64_digit(text->data[i + j]) : 0;
            if (digit < 0) return false;
            group = group << 6 | (uint32_t)digit;
        }
        bytes_append(out, (uint8_t[]){(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group}, digits - 1);
    }
    return true;
}

/* ---- JSON: enough to walk an object ---- */

#define MAX_JSON_DEPTH 32

static int next(struct slice *in)
{
    while (in->length && strchr(" \t\r\n", in->data[0]) && in->data[0]) in->data++, in->length--;
    return in->length ? in->data[0] : -1;
}

static bool take(struct slice *in, char expected)
{
    if (next(in) != expected) return false;
    in->data++, in->length--;
    return true;
}

static void put_utf8(struct bytes *out, uint32_t code)
{
    if (code < 0x80) bytes_append(out, (uint8_t[]){(uint8_t)code}, 1);
    else if (code < 0x800)
        bytes_append(out, (uint8_t[]){(uint8_t)(0xC0 | code >> 6), (uint8_t)(0x80 | (code & 63))}, 2);
    else
        bytes_append(out, (uint8_t[]){(uint8_t)(0xE0 | code >> 12), (uint8_t)(0x80 | (code >> 6 & 63)),
                                      (uint8_t)(0x80 | (code & 63))}, 3);
}

static bool take_escape(struct slice *in, struct bytes *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (in->length == 0) return false;
    const char *found = memchr(from, in->data[0], sizeof from - 1);
    if (found) {
        bytes_append(out, &to[found - from], 1);
        in->data++, in->length--;
        return true;
    }
    unsigned code;
    if (in->data[0] != 'u' || in->length < 5 || sscanf((const char *)in->data + 1, "%4x", &code) != 1) return false;
    put_utf8(out, code); /* surrogates stay apart: no field we read has any */
    in->data += 5, in->length -= 5;
    return true;
}

static bool take_json_string(struct slice *in, struct bytes *out)
{
    if (!take(in, '"')) return false;
    while (in->length) {
        uint8_t c = in->data[0];
        in->data++, in->length--;
        if (c == '"') return true;
        if (c < 0x20) return false;
        if (c != '\\') bytes_append(out, &c, 1);
        else if (!take_escape(in, out)) return false;
    }
    return false;
}

static bool skip_string(struct slice *in)
{
    struct bytes ignored = {0};
    bool ok = take_json_string(in, &ignored);
    bytes_wipe(&ignored);
    return ok;
}

static bool skip_scalar(struct slice *in)
{
    size_t before = in->length;
    while (in->length && !strchr(",]} \t\r\n", in->data[0])) in->data++, in->length--;
    return in->length < before;
}

static bool skip_value(struct slice *in, int depth)
{
    int first = next(in);
    if (depth == 0 || first < 0) return false;
    if (first == '"') return skip_string(in);
    if (first != '{' && first != '[') return skip_scalar(in);
    char close = first == '{' ? '}' : ']';
    take(in, (char)first);
    if (take(in, close)) return true;
    do {
        if (first == '{' && !(skip_string(in) && take(in, ':'))) return false;
        if (!skip_value(in, depth - 1)) return false;
    } while (take(in, ','));
    return take(in, close);
}

/* Calls `member` with each name, and `in` at its value, which it must take. */
static bool take_object(struct slice *in, bool (*member)(const char *name, struct slice *in, void *context),
                        void *context)
{
    if (!take(in, '{')) return false;
    if (take(in, '}')) return true;
    bool ok = true;
    do {
        struct bytes name = {0};
        ok = take_json_string(in, &name) && take(in, ':') && member(name.data ? (char *)name.data : "", in, context);
        bytes_wipe(&name);
    } while (ok && take(in, ','));
    return ok && take(in, '}');
}

static void put_json_string(struct bytes *out, const uint8_t *text, size_t length)
{
    bytes_text(out, "\"");
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '"' || text[i] == '\\') bytes_printf(out, "\\%c", text[i]);
        else if (text[i] < 0x20) bytes_printf(out, "\\u%04x", text[i]);
        else bytes_append(out, &text[i], 1);
    }
    bytes_text(out, "\"");
}

/* ---- the request ---- */

static bool count_string(const char *name, struct slice *in, void *context)
{
    (void)name;
    ++*(size_t *)context;
    return skip_string(in);
}

/* An empty context is left out, as the real library does. */
static bool put_context(struct bytes *json, const struct aws_string *context)
{
    struct slice in = {context->bytes, context->len};
    size_t members = 0;
    if (!take_object(&in, count_string, &members) || next(&in) >= 0) return false;
    if (members == 0) return true;
    bytes_text(json, ",\"EncryptionContext\":");
    bytes_append(json, context->bytes, context->len);
    return true;
}

static void put_recipient(struct bytes *json, const struct bytes *document)
{
    bytes_text(json, ",\"Recipient\":{\"KeyEncryptionAlgorithm\":\"RSAES_OAEP_SHA_256\",\"AttestationDocument\":\"");
    put_base64(json, document->data, document->length);
    bytes_text(json, "\"}");
}

bool decrypt_request_json(const struct decrypt_request *request, const struct bytes *document, struct bytes *json)
{
    bytes_text(json, "{\"CiphertextBlob\":\"");
    put_base64(json, request->ciphertext->buffer, request->ciphertext->len);
    bytes_text(json, "\"");
    if (request->key_id) {
        bytes_text(json, ",\"EncryptionAlgorithm\":");
        put_json_string(json, request->encryption_algorithm->bytes, request->encryption_algorithm->len);
    }
    if (request->encryption_context && !put_context(json, request->encryption_context)) return false;
    if (request->key_id) {
        bytes_text(json, ",\"KeyId\":");
        put_json_string(json, request->key_id->bytes, request->key_id->len);
    }
    put_recipient(json, document);
    bytes_text(json, "}");
    return true;
}

void data_key_request_json(const struct aws_string *key_id, bool is_256, const struct bytes *document,
                           struct bytes *json)
{
    bytes_text(json, "{\"KeyId\":");
    put_json_string(json, key_id->bytes, key_id->len);
    bytes_printf(json, ",\"KeySpec\":\"%s\"", is_256 ? "AES_256" : "AES_128");
    put_recipient(json, document);
    bytes_text(json, "}");
}

void random_request_json(uint32_t number_of_bytes, const struct bytes *document, struct bytes *json)
{
    bytes_printf(json, "{\"NumberOfBytes\":%u", number_of_bytes);
    put_recipient(json, document);
    bytes_text(json, "}");
}

bool encrypt_request_json(const struct aws_string *key_id, const struct aws_byte_buf *plaintext,
                          const struct aws_string *encryption_context, struct bytes *json)
{
    bytes_text(json, "{\"KeyId\":");
    put_json_string(json, key_id->bytes, key_id->len);
    bytes_text(json, ",\"Plaintext\":\"");
    put_base64(json, plaintext->buffer, plaintext->len);
    bytes_text(json, "\"");
    if (encryption_context && !put_context(json, encryption_context)) return false;
    bytes_text(json, "}");
    return true;
}

/* ---- the answer ---- */

static bool is_algorithm(const struct bytes *name)
{
    static const char *const names[] = {"SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"};
    for (size_t i = 0; name->data && i < sizeof names / sizeof *names; i++)
        if (strcmp((char *)name->data, names[i]) == 0) return true;
    return false;
}

/* The fields that the real library reads must be strings: "Plaintext":null is turned away. */
static bool answer_member(const char *name, struct slice *in, void *context)
{
    struct answer *answer = context;
    bool is_key_id = strcmp(name, "KeyId") == 0, is_envelope = strcmp(name, "CiphertextForRecipient") == 0;
    bool is_ciphertext = strcmp(name, "CiphertextBlob") == 0;
    bool names_algorithm = strcmp(name, "EncryptionAlgorithm") == 0;
    if (!is_key_id && !is_envelope && !is_ciphertext && !names_algorithm && strcmp(name, "Plaintext") != 0)
        return skip_value(in, MAX_JSON_DEPTH);
    struct bytes value = {0};
    bool ok = take_json_string(in, &value);
    if (is_key_id) answer->has_key_id = true;
    if (is_envelope) ok = ok && take_base64(&value, &answer->envelope);
    if (is_ciphertext) ok = ok && take_base64(&value, &answer->ciphertext);
    if (names_algorithm) ok = ok && is_algorithm(&value);
    bytes_wipe(&value);
    return ok;
}

bool answer_parse(const struct bytes *json, bool needs_key_id, struct answer *answer)
{
    struct slice in = {json->data, json->length};
    return take_object(&in, answer_member, answer) && (answer->has_key_id || !needs_key_id);
}

/* ---- CMS EnvelopedData ---- */

enum tag {
    INTEGER = 0x02,
    OCTETS = 0x04,
    OBJECT = 0x06,
    SEQUENCE = 0x30,
    SET = 0x31,
    IMPLICIT_0 = 0x80,
    CONSTRUCTED_0 = 0xA0,
};

static const uint8_t OID_ENVELOPED[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03};
static const uint8_t OID_DATA[] = {0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01};
static const uint8_t OID_AES256_CBC[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2A};

/* Takes one element. Of an indefinite one the content is all that follows: in this message such an element
   is always the last of its parent, and nobody reads the end marks. */
static bool take_element(struct slice *in, enum tag tag, struct slice *content)
{
    if (in->length < 2 || in->data[0] != tag) return false;
    size_t length = in->data[1], header = 2;
    bool indefinite = length == 0x80;
    if (length > 0x80) {
        size_t octets = length - 0x80;
        if (octets > 3 || in->length < 2 + octets) return false;
        for (length = 0; header < 2 + octets; header++) length = length << 8 | in->data[header];
    }
    if (indefinite) length = in->length - header;
    if (length > in->length - header) return false;
    *content = (struct slice){in->data + header, length};
    in->data += header + length;
    in->length -= header + length;
    return true;
}

static bool take_oid(struct slice *in, const uint8_t *oid, size_t length)
{
    struct slice value;
    return take_element(in, OBJECT, &value) && value.length == length && memcmp(value.data, oid, length) == 0;
}

static bool take_version(struct slice *in)
{
    struct slice value;
    return take_element(in, INTEGER, &value) && value.length == 1 && value.data[0] == 2;
}

static bool take_recipient(struct slice *in, struct slice *wrapped_key)
{
    struct slice recipients, recipient, ignored;
    return take_element(in, SET, &recipients) && take_element(&recipients, SEQUENCE, &recipient) &&
           take_version(&recipient) && take_element(&recipient, IMPLICIT_0, &ignored) &&
           take_element(&recipient, SEQUENCE, &ignored) && take_element(&recipient, OCTETS, wrapped_key);
}

/* [0] is one string, or a list of segments. */
static bool take_content(struct slice *in, struct bytes *content)
{
    struct slice part, segments;
    if (take_element(in, IMPLICIT_0, &part)) {
        bytes_append(content, part.data, part.length);
        return true;
    }
    if (!take_element(in, CONSTRUCTED_0, &segments)) return false;
    while (take_element(&segments, OCTETS, &part)) bytes_append(content, part.data, part.length);
    return true;
}

bool envelope_parse(const struct bytes *envelope, struct slice *wrapped_key, struct slice *iv, struct bytes *content)
{
    struct slice in = {envelope->data, envelope->length}, outer, tagged, data, info, algorithm;
    return take_element(&in, SEQUENCE, &outer) && take_oid(&outer, OID_ENVELOPED, sizeof OID_ENVELOPED) &&
           take_element(&outer, CONSTRUCTED_0, &tagged) && take_element(&tagged, SEQUENCE, &data) &&
           take_version(&data) && take_recipient(&data, wrapped_key) && take_element(&data, SEQUENCE, &info) &&
           take_oid(&info, OID_DATA, sizeof OID_DATA) && take_element(&info, SEQUENCE, &algorithm) &&
           take_oid(&algorithm, OID_AES256_CBC, sizeof OID_AES256_CBC) && take_element(&algorithm, OCTETS, iv) &&
           take_content(&info, content);
}
