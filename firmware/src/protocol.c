/* Line protocol, version 2, equal on a board and in an emulator.
 *
 * Both directions send lines:
 *
 *     <sequence> <words...> *<CRC>\n
 *     <sequence> <words...> :<bytes> *<CRC>\n
 *
 * <sequence> is a decimal number in 1..65535 that the host chooses and the answer repeats; words are visible ASCII;
 * <CRC> is the CRC-32 (zlib's) of every character before " *", as eight upper-case hexadecimal digits. Numbers are
 * decimal where nothing else is said. <bytes> are coded by COBS (Cheshire and Baker, Consistent Overhead Byte Stuffing,
 * 1999), every byte of the code then XORed with a line feed: one character more in 254, and a line feed ends a line and
 * nothing else, so that whoever lost the thread finds it again there.
 *
 *     hello                    ok protocol= firmware= board= model= crc= input= output= arena= counter= counter_hz=
 *                                 overhead= core_hz= core_hz_basis= caches= runtime= kernels= flags= image= stack=
 *                                 line= payload= window= baud=
 *     load <offset> :<bytes>   ok                       writes into the model's input
 *     infer <CRC-32>           ok ticks=<n> crc=<CRC-32>
 *                                                       runs the model once, where its input has that CRC-32; the CRC-32
 *                                                       of its output comes back. The input may be gone afterwards.
 *     output <offset> <count>  ok <offset> :<bytes>     reads from the model's output: a line for every payload= bytes
 *     stack                    ok used=<n> reserved=<n> most stack in use since the start
 *     baud <speed>             ok                       at the old speed; what follows comes at the new one
 *
 * A model of several inputs has them side by side, in its own order, as one input of the protocol; outputs likewise.
 *
 * Anything else is answered by `err <reason>`: crc, length, format (these three with sequence 0, for the request's own
 * number cannot be trusted), command, arguments, range, bytes, input (its CRC-32 is another), hello (none came since the
 * start: the device was reset). An empty line is ignored. `0 err fault <address>` reports a crash. A runtime that
 * cannot run the model answers every request by `0 err <runtime> <ofa_model_status()>`, and adds arena_used= to hello
 * where it can.
 *
 * `hello` begins a conversation. Requests are obeyed one after the other, and the host may send window= of them before
 * the first answer. It may send a request again under the same number: every command gives the same answer twice, `infer`
 * without running the model again. What the host has measured on its way is right although lines are lost, come twice or
 * late, and the device is reset in between: the model ran on the input that the host named, and the output is what it
 * gave then.
 *
 * baud= is the speed of the serial port, 0 where it has none. After two seconds without a sound line the port is back at
 * the speed at which it started.
 */
#include "protocol.h"

#include <stdint.h>
#include <string.h>

#include "config.h"
#include "hal.h"
#include "image.h"
#include "model/ofa_model.h"

/* In firmware of several networks the host writes only what one of them reads. */
#ifdef OFA_MODEL_INPUT_UNCHECKED
#define CHECKS_INPUT 0
#else
#define CHECKS_INPUT 1
#endif

/* What runs the model, and what its kernels are written for. Those for the DSP extension work without it, too, but a
 * function then takes the place of every instruction of it. */
#ifdef OFA_MODEL_RUNTIME
#define RUNTIME OFA_MODEL_RUNTIME
#else
#define RUNTIME "compiled"
#endif

#ifndef OFA_MODEL_KERNELS
#define OFA_MODEL_KERNELS "unknown"
#endif

#if defined(OFA_MODEL_KERNELS_DSP) && !(defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP)
#define KERNELS OFA_MODEL_KERNELS "_in_c"
#else
#define KERNELS OFA_MODEL_KERNELS
#endif

static struct {
    uint64_t ticks;         /* of the last inference */
    uint32_t output_crc;    /* of the last inference */
    uint32_t sent_crc;      /* of the answer so far */
    uint16_t sequence;      /* of the request being answered, 0 where unknown */
    uint16_t last_infer;    /* sequence number of the last inference, before that of `hello`, 0 for neither */
    char line[OFA_LINE_BYTES];
} __attribute__((packed, aligned(4))) state;

/* ---- checksums ---------------------------------------------------------------------------------------------- */

#define CRC_START 0xFFFFFFFFu
#define TRAILER 10 /* characters of " *" and the CRC */

/* The CRC-32 (reflected polynomial 0xEDB88320) after one more byte; what is sent is its complement. */
static uint32_t crc32_byte(uint32_t crc, uint8_t byte)
{
    static const uint32_t table[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
    };
    crc ^= byte;
    crc = crc >> 4 ^ table[crc & 15u];
    return crc >> 4 ^ table[crc & 15u];
}

static uint32_t crc32(uint32_t crc, const int8_t *bytes, uint32_t count)
{
    while (count-- > 0) {
        crc = crc32_byte(crc, (uint8_t)*bytes++);
    }
    return crc;
}

/* ---- answers: sent as they are written, without a buffer ----------------------------------------------------- */

static void put_char(char c)
{
    state.sent_crc = crc32_byte(state.sent_crc, (uint8_t)c);
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
    state.sent_crc = CRC_START;
    put_decimal(state.sequence);
    put_char(' ');
    put_text(kind);
}

static void end(void)
{
    uint32_t crc = ~state.sent_crc;
    put_text(" *");
    put_hex(crc, 8);
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

/* ---- bytes as characters: COBS, every one XORed with the line feed that may not be among them ---------------------- */

#define MASK '\n'
#define LONGEST_RUN 254u

static void put_bytes(const int8_t *bytes, uint32_t count)
{
    for (;;) {
        uint32_t run = 0;
        while (run < count && run < LONGEST_RUN && bytes[run] != 0) {
            run++;
        }
        put_char((char)((run + 1) ^ MASK));
        for (uint32_t i = 0; i < run; i++) {
            put_char((char)(bytes[i] ^ MASK));
        }
        if (run == count) {
            return;
        }
        run += run < LONGEST_RUN; /* the zero that ended it */
        bytes += run;
        count -= run;
    }
}

/* Decodes the characters from `text` to `end` over themselves; the number of bytes, or -1. */
static int decode_bytes(char *text, const char *end)
{
    const char *in = text;
    char *out = text;
    while (in < end) {
        unsigned run = (uint8_t)(*in++ ^ MASK) - 1u;
        if (run > (unsigned)(end - in)) {
            return -1;
        }
        for (unsigned i = 0; i < run; i++) {
            *out++ = (char)(*in++ ^ MASK);
        }
        if (run < LONGEST_RUN && in < end) {
            *out++ = 0;
        }
    }
    return (int)(out - text);
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

static uint32_t input_crc32(void)
{
    uint32_t crc = CRC_START;
    for (int index = 0; index < OFA_MODEL_INPUTS; index++) {
        crc = crc32(crc, ofa_model_input_at(index), (uint32_t)ofa_model_input_bytes_at(index));
    }
    return ~crc;
}
#else
static void write_input(uint32_t offset, const char *bytes, uint32_t count)
{
    memcpy(ofa_model_input() + offset, bytes, count);
}

static uint32_t input_crc32(void)
{
    return ~crc32(CRC_START, ofa_model_input(), OFA_MODEL_INPUT_BYTES);
}
#endif

#if OFA_MODEL_OUTPUTS > 1
/* Copies at most OFA_PAYLOAD_BYTES to where the request was. */
static const int8_t *read_output(uint32_t offset, uint32_t count)
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
    return (const int8_t *)state.line;
}

static uint32_t output_crc32(void)
{
    uint32_t crc = CRC_START;
    for (int index = 0; index < OFA_MODEL_OUTPUTS; index++) {
        crc = crc32(crc, ofa_model_output_at(index), (uint32_t)ofa_model_output_bytes_at(index));
    }
    return ~crc;
}
#else
static const int8_t *read_output(uint32_t offset, uint32_t count)
{
    (void)count;
    return ofa_model_output() + offset;
}

static uint32_t output_crc32(void)
{
    return ~crc32(CRC_START, ofa_model_output(), OFA_MODEL_OUTPUT_BYTES);
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

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* 1 and the number in `*value` where `word` is one of eight hexadecimal digits. */
static int hex_number(const char *word, uint32_t *value)
{
    uint32_t result = 0;
    for (int i = 0; i < 8; i++) {
        int digit = hex_value(word[i]);
        if (digit < 0) {
            return 0;
        }
        result = result << 4 | (uint32_t)digit;
    }
    *value = result;
    return word[8] == '\0';
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
    state.last_infer = state.sequence;
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
    put_text(" core_hz_basis=");
    put_text(ofa_hal_core_hz_basis());
    put_text(" caches=");
    put_text(ofa_hal_caches());
    put_text(" runtime=" RUNTIME " kernels=" KERNELS " flags=");
    put_word(OFA_FLAGS);
    put_text(" image=");
    put_hex(OFA_IMAGE_CRC32, 8);
    put_value(" stack=", OFA_STACK_BYTES);
    put_value(" line=", OFA_LINE_BYTES);
    put_value(" payload=", OFA_PAYLOAD_BYTES);
    put_value(" window=", OFA_WINDOW);
    put_value(" baud=", ofa_hal_baud());
#ifdef OFA_MODEL_RUNTIME
    put_value(" arena_used=", ofa_model_arena_used());
#endif
    end();
}

static void load(char *arguments, const char *line_end)
{
    uint32_t offset;
    if (!number(next_word(&arguments), &offset) || *arguments++ != ':') {
        answer_error("arguments");
        return;
    }
    int count = decode_bytes(arguments, line_end);
    if (count < 0) {
        answer_error("bytes");
    } else if (offset > OFA_MODEL_INPUT_BYTES || (uint32_t)count > OFA_MODEL_INPUT_BYTES - offset) {
        answer_error("range");
    } else {
        write_input(offset, arguments, (uint32_t)count);
        answer_ok();
    }
}

static void infer(const char *argument)
{
    uint32_t wanted;
    if (!hex_number(argument, &wanted)) {
        answer_error("arguments");
        return;
    }
    if (state.sequence != state.last_infer) {
        if (CHECKS_INPUT && input_crc32() != wanted) {
            answer_error("input");
            return;
        }
        ofa_hal_mark(1);
        state.ticks = measure(ofa_model_run);
        ofa_hal_mark(0);
        if (runtime_failed()) {
            return;
        }
        state.output_crc = output_crc32();
        state.last_infer = state.sequence;
    }
    begin("ok");
    put_value(" ticks=", state.ticks);
    put_text(" crc=");
    put_hex(state.output_crc, 8);
    end();
}

static void output(char *arguments)
{
    uint32_t offset, count;
    if (!number(next_word(&arguments), &offset) || !number(next_word(&arguments), &count) || *arguments) {
        answer_error("arguments");
    } else if (offset > OFA_MODEL_OUTPUT_BYTES || count > OFA_MODEL_OUTPUT_BYTES - offset) {
        answer_error("range");
    } else {
        do {
            uint32_t part = count < OFA_PAYLOAD_BYTES ? count : OFA_PAYLOAD_BYTES;
            begin("ok ");
            put_decimal(offset);
            put_text(" :");
            put_bytes(read_output(offset, part), part);
            end();
            offset += part;
            count -= part;
        } while (count > 0);
    }
}

static void baud(const char *argument)
{
    uint32_t speed;
    if (!number(argument, &speed)) {
        answer_error("arguments");
    } else if (!ofa_hal_baud() || speed < 9600) {
        answer_error("range");
    } else {
        answer_ok();
        ofa_hal_set_baud(speed);
    }
}

static void stack(void)
{
    begin("ok");
    put_value(" used=", ofa_hal_stack_used());
    put_value(" reserved=", OFA_STACK_BYTES);
    end();
}

static void obey(char *words, const char *line_end)
{
    char *command = next_word(&words);
    if (!command) {
        answer_error("command");
    } else if (is(command, "hello") && !*words) {
        hello();
    } else if (state.last_infer == 0) {
        answer_error("hello");
    } else if (is(command, "load")) {
        load(words, line_end);
    } else if (is(command, "infer")) {
        infer(words);
    } else if (is(command, "output")) {
        output(words);
    } else if (is(command, "stack") && !*words) {
        stack();
    } else if (is(command, "baud")) {
        baud(words);
    } else {
        answer_error("command");
    }
}

/* Reads up to the line feed into state.line. The checksum is counted on the way, as far behind as the trailer is long:
 * nothing is left to do when the line ends, while the next one comes in. The number of characters before the trailer,
 * where a null ends them; 0 for an empty line, TOO_LONG, or GARBLED. */
enum { TOO_LONG = -1, GARBLED = -2 };

static int read_line(void)
{
    int length = 0;
    uint32_t crc = CRC_START;
    uint32_t given;
    for (;;) {
        uint8_t byte = ofa_hal_read();
        if (byte == '\n') {
            break;
        }
        if (length < 0 || length == OFA_LINE_BYTES - 1) {
            length = TOO_LONG;
            continue;
        }
        if (length >= TRAILER) {
            crc = crc32_byte(crc, (uint8_t)state.line[length - TRAILER]);
        }
        state.line[length++] = (char)byte;
    }
    if (length <= 0) {
        return length;
    }
    state.line[length] = '\0';
    length -= TRAILER;
    if (length < 1 || state.line[length] != ' ' || state.line[length + 1] != '*' ||
        !hex_number(state.line + length + 2, &given) || given != ~crc) {
        return GARBLED;
    }
    state.line[length] = '\0';
    return length;
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
    if (length == TOO_LONG) {
        answer_error("length");
    } else if (length == GARBLED) {
        answer_error("crc");
    } else if (!number(next_word(&words), &sequence) || sequence < 1 || sequence > 65535) {
        answer_error("format");
    } else {
        state.sequence = (uint16_t)sequence;
        if (!runtime_failed()) {
            obey(words, state.line + length);
        }
        ofa_hal_keep_baud();
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
