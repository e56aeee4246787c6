/* Line protocol, equal on a board and in an emulator.
 *
 * Both directions send lines of ASCII:
 *
 *     <sequence> <words...> *<CRC>\n
 *
 * <sequence> is a decimal number in 1..65535 that the host chooses and the answer repeats; <CRC> is the CRC-16/CCITT
 * (polynomial 0x1021, start 0xFFFF) of every character before " *", as four upper-case hexadecimal digits.
 * Numbers are decimal where nothing else is said; bytes travel in base64 with padding.
 *
 *     hello                    ok protocol= firmware= board= model= crc= input= output= arena= counter= counter_hz=
 *                                 overhead= core_hz= stack= line= payload=
 *     load <offset> <bytes>    ok                       writes into the model's input
 *     infer                    ok ticks=<n>             runs the model once; the input may be gone afterwards
 *     output <offset> <count>  ok <bytes>               reads from the model's output
 *     crc                      ok <8 hex digits>        CRC-32 (zlib) of the whole output
 *     stack                    ok used=<n> reserved=<n> most stack in use since the start
 *
 * A model of several inputs has them side by side, in its own order, as one input of the protocol; outputs likewise.
 *
 * Anything else is answered by `err <reason>`: crc, length, format (these three with sequence 0, for the request's own
 * number cannot be trusted), command, arguments, range, base64. The host may send a request again under the same
 * number: every command gives the same answer twice, `infer` without running the model again. `hello` begins a new
 * conversation. An empty line is ignored. `0 err fault <address>` reports a crash. A runtime that cannot run the model
 * answers every request by `0 err <runtime> <ofa_model_status()>`, and adds arena_used= to hello where it can.
 */
#include "protocol.h"

#include <stdint.h>
#include <string.h>

#include "config.h"
#include "hal.h"
#include "model/ofa_model.h"

static struct {
    uint64_t ticks;         /* of the last inference */
    uint16_t sequence;      /* of the request being answered, 0 where unknown */
    uint16_t last_infer;    /* sequence number of the last inference, 0 for none */
    uint16_t sent_crc;      /* of the answer so far */
    uint16_t unused;
    char line[OFA_LINE_BYTES];
} state;

/* ---- checksums ---------------------------------------------------------------------------------------------- */

static uint16_t crc16(uint16_t crc, uint8_t byte)
{
    crc ^= (uint16_t)(byte << 8);
    for (int bit = 0; bit < 8; bit++) {
        crc = (uint16_t)((crc << 1) ^ ((crc & 0x8000u) ? 0x1021u : 0u));
    }
    return crc;
}

/* Goes on from the checksum of what came before, 0 for nothing. */
static uint32_t crc32(const uint8_t *bytes, uint32_t count, uint32_t crc)
{
    crc = ~crc;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

/* ---- answers: sent as they are written, without a buffer ----------------------------------------------------- */

static void put_char(char c)
{
    state.sent_crc = crc16(state.sent_crc, (uint8_t)c);
    ofa_hal_write((uint8_t)c);
}

static void put_text(const char *text)
{
    while (*text) {
        put_char(*text++);
    }
}

/* A word of its own: what is no visible ASCII character becomes '_'. */
static void put_word(const char *text)
{
    for (; *text; text++) {
        put_char(*text > ' ' && *text <= '~' ? *text : '_');
    }
}

static void put_hex(uint32_t value, int digits)
{
    while (digits-- > 0) {
        put_char("0123456789ABCDEF"[(value >> (4 * digits)) & 15u]);
    }
}

/* Long division by ten on 16-bit limbs: no 64-bit division of the compiler's library is linked. */
static void put_decimal(uint64_t value)
{
    uint32_t limbs[4] = {(uint16_t)value, (uint16_t)(value >> 16), (uint16_t)(value >> 32), (uint16_t)(value >> 48)};
    char digits[20];
    int count = 0;
    do {
        uint32_t rest = 0;
        for (int i = 3; i >= 0; i--) {
            uint32_t part = rest << 16 | limbs[i];
            limbs[i] = part / 10;
            rest = part % 10;
        }
        digits[count++] = (char)('0' + rest);
    } while (limbs[0] | limbs[1] | limbs[2] | limbs[3]);
    while (count > 0) {
        put_char(digits[--count]);
    }
}

static void put_value(const char *name, uint64_t value)
{
    put_text(name);
    put_decimal(value);
}

static void begin(const char *kind)
{
    state.sent_crc = 0xFFFFu;
    put_decimal(state.sequence);
    put_char(' ');
    put_text(kind);
}

static void end(void)
{
    uint16_t crc = state.sent_crc;
    put_text(" *");
    put_hex(crc, 4);
    put_char('\n');
    ofa_hal_flush();
}

static void answer_ok(void)
{
    begin("ok");
    end();
}

static void answer_error(const char *reason)
{
    begin("err ");
    put_text(reason);
    end();
}

/* ---- bytes as text -------------------------------------------------------------------------------------------- */

static void put_base64(const uint8_t *bytes, uint32_t count)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (uint32_t i = 0; i < count; i += 3) {
        uint32_t left = count - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0u;
        group |= left > 2 ? (uint32_t)bytes[i + 2] : 0u;
        put_char(alphabet[group >> 18]);
        put_char(alphabet[(group >> 12) & 63u]);
        put_char(left > 1 ? alphabet[(group >> 6) & 63u] : '=');
        put_char(left > 2 ? alphabet[group & 63u] : '=');
    }
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes `text` over itself; the number of bytes, or -1. */
static int decode_base64(char *text)
{
    uint8_t *out = (uint8_t *)text;
    int count = 0;
    int padding = 0;
    for (const char *in = text; *in; in += 4) {
        uint32_t group = 0;
        if (padding > 0) {
            return -1;
        }
        for (int i = 0; i < 4; i++) {
            int value = base64_value(in[i]);
            if (in[i] == '=' && i >= 2) {
                padding++;
                value = 0;
            } else if (value < 0 || padding > 0) {
                return -1;
            }
            group = group << 6 | (uint32_t)value;
        }
        for (int i = 0; i < 3 - padding; i++) {
            out[count++] = (uint8_t)(group >> (16 - 8 * i));
        }
    }
    return count;
}

/* ---- the model's input and output as the host sees them: one piece ---------------------------------------------- */

#if OFA_MODEL_INPUTS > 1
static void write_input(uint32_t offset, const char *bytes, uint32_t count)
{
    for (int index = 0; count > 0; index++) {
        uint32_t size = (uint32_t)ofa_model_input_bytes_at(index);
        if (offset >= size) {
            offset -= size;
            continue;
        }
        uint32_t part = size - offset < count ? size - offset : count;
        memcpy(ofa_model_input_at(index) + offset, bytes, part);
        bytes += part;
        count -= part;
        offset = 0;
    }
}
#else
static void write_input(uint32_t offset, const char *bytes, uint32_t count)
{
    memcpy(ofa_model_input() + offset, bytes, count);
}
#endif

#if OFA_MODEL_OUTPUTS > 1
/* Copies at most OFA_PAYLOAD_BYTES to where the request was. */
static const uint8_t *read_output(uint32_t offset, uint32_t count)
{
    char *bytes = state.line;
    for (int index = 0; count > 0; index++) {
        uint32_t size = (uint32_t)ofa_model_output_bytes_at(index);
        if (offset >= size) {
            offset -= size;
            continue;
        }
        uint32_t part = size - offset < count ? size - offset : count;
        memcpy(bytes, ofa_model_output_at(index) + offset, part);
        bytes += part;
        count -= part;
        offset = 0;
    }
    return (const uint8_t *)state.line;
}

static uint32_t output_crc32(void)
{
    uint32_t crc = 0;
    for (int index = 0; index < OFA_MODEL_OUTPUTS; index++) {
        crc = crc32((const uint8_t *)ofa_model_output_at(index), (uint32_t)ofa_model_output_bytes_at(index), crc);
    }
    return crc;
}
#else
static const uint8_t *read_output(uint32_t offset, uint32_t count)
{
    (void)count;
    return (const uint8_t *)ofa_model_output() + offset;
}

static uint32_t output_crc32(void)
{
    return crc32((const uint8_t *)ofa_model_output(), OFA_MODEL_OUTPUT_BYTES, 0);
}
#endif

/* ---- a runtime that can fail ------------------------------------------------------------------------------------ */

#ifdef OFA_MODEL_RUNTIME
/* 1 where the runtime cannot run the model; the host has been told why. */
static int runtime_failed(void)
{
    uint32_t status = ofa_model_status();
    if (status) {
        ofa_protocol_alarm(OFA_MODEL_RUNTIME, status);
    }
    return status != 0;
}
#else
static int runtime_failed(void)
{
    return 0;
}
#endif

/* ---- requests -------------------------------------------------------------------------------------------------- */

/* Cuts the next word off `*rest`; NULL where none is left. */
static char *next_word(char **rest)
{
    char *word = *rest;
    if (*word == '\0') {
        return 0;
    }
    char *scan = word;
    while (*scan && *scan != ' ') {
        scan++;
    }
    if (*scan) {
        *scan++ = '\0';
    }
    *rest = scan;
    return word;
}

/* 1 and the number in `*value` where `word` is one of up to nine decimal digits. */
static int number(const char *word, uint32_t *value)
{
    uint32_t result = 0;
    int digits = 0;
    if (!word) {
        return 0;
    }
    for (; *word; word++) {
        if (*word < '0' || *word > '9' || ++digits > 9) {
            return 0;
        }
        result = result * 10 + (uint32_t)(*word - '0');
    }
    *value = result;
    return digits > 0;
}

static int is(const char *word, const char *other)
{
    while (*word && *word == *other) {
        word++;
        other++;
    }
    return *word == *other;
}

static void nothing(void)
{
}

/* The volatile pointer keeps the call of `nothing` as long as that of the model. */
static uint64_t measure(void (*volatile work)(void))
{
    void (*call)(void) = work;
    ofa_hal_counter_start();
    call();
    return ofa_hal_counter_stop();
}

static void hello(void)
{
    state.last_infer = 0;
    begin("ok");
    put_value(" protocol=", OFA_PROTOCOL_VERSION);
    put_text(" firmware=" OFA_FIRMWARE_VERSION " board=");
    put_word(OFA_BOARD);
    put_text(" model=");
    put_word(OFA_MODEL_NAME);
    put_text(" crc=");
    put_hex(OFA_MODEL_CRC32, 8);
    put_value(" input=", OFA_MODEL_INPUT_BYTES);
    put_value(" output=", OFA_MODEL_OUTPUT_BYTES);
    put_value(" arena=", OFA_MODEL_ARENA_BYTES);
    put_text(" counter=");
    put_text(ofa_hal_counter_name());
    put_value(" counter_hz=", ofa_hal_counter_hz());
    put_value(" overhead=", measure(nothing));
    put_value(" core_hz=", ofa_hal_core_hz());
    put_value(" stack=", OFA_STACK_BYTES);
    put_value(" line=", OFA_LINE_BYTES);
    put_value(" payload=", OFA_PAYLOAD_BYTES);
#ifdef OFA_MODEL_RUNTIME
    put_value(" arena_used=", ofa_model_arena_used());
#endif
    end();
}

static void load(char *arguments)
{
    uint32_t offset;
    char *where = next_word(&arguments);
    char *bytes = next_word(&arguments);
    if (!number(where, &offset) || !bytes || *arguments) {
        answer_error("arguments");
        return;
    }
    int count = decode_base64(bytes);
    if (count < 0) {
        answer_error("base64");
    } else if (offset > OFA_MODEL_INPUT_BYTES || (uint32_t)count > OFA_MODEL_INPUT_BYTES - offset) {
        answer_error("range");
    } else {
        write_input(offset, bytes, (uint32_t)count);
        answer_ok();
    }
}

static void infer(void)
{
    if (state.sequence != state.last_infer) {
        state.ticks = measure(ofa_model_run);
        if (runtime_failed()) {
            return;
        }
        state.last_infer = state.sequence;
    }
    begin("ok");
    put_value(" ticks=", state.ticks);
    end();
}

static void output(char *arguments)
{
    uint32_t offset, count;
    if (!number(next_word(&arguments), &offset) || !number(next_word(&arguments), &count) || *arguments) {
        answer_error("arguments");
    } else if (count > OFA_PAYLOAD_BYTES || offset > OFA_MODEL_OUTPUT_BYTES ||
               count > OFA_MODEL_OUTPUT_BYTES - offset) {
        answer_error("range");
    } else {
        begin("ok ");
        put_base64(read_output(offset, count), count);
        end();
    }
}

static void crc(void)
{
    begin("ok ");
    put_hex(output_crc32(), 8);
    end();
}

static void stack(void)
{
    begin("ok");
    put_value(" used=", ofa_hal_stack_used());
    put_value(" reserved=", OFA_STACK_BYTES);
    end();
}

static void obey(char *words)
{
    char *command = next_word(&words);
    if (!command) {
        answer_error("command");
    } else if (is(command, "load")) {
        load(words);
    } else if (is(command, "output")) {
        output(words);
    } else if (*words) {
        answer_error(is(command, "hello") || is(command, "infer") || is(command, "crc") || is(command, "stack")
                         ? "arguments"
                         : "command");
    } else if (is(command, "hello")) {
        hello();
    } else if (is(command, "infer")) {
        infer();
    } else if (is(command, "crc")) {
        crc();
    } else if (is(command, "stack")) {
        stack();
    } else {
        answer_error("command");
    }
}

/* Reads up to the line feed into state.line, ended by a null; its length, or -1 where it does not fit. */
static int read_line(void)
{
    int length = 0;
    for (;;) {
        uint8_t byte = ofa_hal_read();
        if (byte == '\n') {
            break;
        }
        if (byte == '\r') {
            continue;
        }
        if (length >= 0 && length < OFA_LINE_BYTES - 1) {
            state.line[length++] = (char)byte;
        } else {
            length = -1;
        }
    }
    if (length >= 0) {
        state.line[length] = '\0';
    }
    return length;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Cuts the checksum off a line of `length` characters; 1 where it is right. */
static int check(int length)
{
    int body = length - 6;
    uint16_t computed = 0xFFFFu;
    uint16_t given = 0;
    if (body < 1 || state.line[body] != ' ' || state.line[body + 1] != '*') {
        return 0;
    }
    for (int i = body + 2; i < length; i++) {
        int value = hex_value(state.line[i]);
        if (value < 0) {
            return 0;
        }
        given = (uint16_t)(given << 4 | value);
    }
    for (int i = 0; i < body; i++) {
        computed = crc16(computed, (uint8_t)state.line[i]);
    }
    state.line[body] = '\0';
    return computed == given;
}

void ofa_protocol_step(void)
{
    int length = read_line();
    char *words = state.line;
    uint32_t sequence;
    state.sequence = 0;
    if (length == 0) {
        return;
    }
    if (length < 0) {
        answer_error("length");
    } else if (!check(length)) {
        answer_error("crc");
    } else if (!number(next_word(&words), &sequence) || sequence < 1 || sequence > 65535) {
        answer_error("format");
    } else {
        state.sequence = (uint16_t)sequence;
        if (!runtime_failed()) {
            obey(words);
        }
    }
}

void ofa_protocol_alarm(const char *reason, unsigned long value)
{
    state.sequence = 0;
    begin("err ");
    put_text(reason);
    put_char(' ');
    put_hex((uint32_t)value, 8);
    end();
}
