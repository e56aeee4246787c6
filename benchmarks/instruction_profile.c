/* QEMU TCG plugin: how often every instruction ran between two addresses, and how often a branch was taken.
 *
 * Debian ships no qemu-plugin.h, so the functions used are declared here; qemu-system-arm 7.2 exports them.
 *
 * args: begin=ADDR end=ADDR lo=ADDR hi=ADDR out=FILE; the last pass from begin to end is written as lines of
 * "address count taken", hexadecimal, decimal, decimal.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct {
    const char *target_name;
    struct {
        int min, cur;
    } version;
    bool system_emulation;
    union {
        struct {
            int smp_vcpus, max_vcpus;
        } system;
    };
} qemu_info_t;
enum { NO_REGISTERS, ADD_U64 = 0 };
typedef void (*tb_callback)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*callback)(unsigned int, void *);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_callback);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, callback, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, callback, int, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

typedef struct {
    uint64_t count, taken;
} slot;

typedef struct {
    uint64_t start, next;
    slot *last;
} block;

static slot *slots;
static uint64_t low, high, begin_address, end_address, expected;
static slot *branch;
static bool active;
static const char *path;

static void at_begin(unsigned int cpu, void *data)
{
    (void)cpu, (void)data;
    memset(slots, 0, (high - low) / 2 * sizeof *slots);
    active = true;
}

static void at_end(unsigned int cpu, void *data)
{
    (void)cpu, (void)data;
    FILE *out = active ? fopen(path, "w") : NULL;
    active = false;
    if (out) {
        for (uint64_t i = 0; i < (high - low) / 2; i++) {
            if (slots[i].count) {
                fprintf(out, "%llx %llu %llu\n", (unsigned long long)(low + 2 * i), (unsigned long long)slots[i].count,
                        (unsigned long long)slots[i].taken);
            }
        }
        fclose(out);
    }
}

static void on_block(unsigned int cpu, void *data)
{
    (void)cpu;
    const block *here = data;
    if (branch && here->start != expected) {
        branch->taken++;
    }
    branch = here->last;
    expected = here->next;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    const size_t count = qemu_plugin_tb_n_insns(tb);
    block *found = calloc(1, sizeof *found); /* lives as long as QEMU */
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(tb, i);
        const uint64_t address = qemu_plugin_insn_vaddr(instruction);
        if (address == begin_address) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, at_begin, NO_REGISTERS, NULL);
        }
        if (address == end_address) {
            qemu_plugin_register_vcpu_insn_exec_cb(instruction, at_end, NO_REGISTERS, NULL);
        }
        found->last = address >= low && address < high ? &slots[(address - low) / 2] : NULL;
        found->next = address + qemu_plugin_insn_size(instruction);
        if (found->last) {
            qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD_U64, &found->last->count, 1);
        }
    }
    found->start = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, NO_REGISTERS, found);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int count,
                                                               char **arguments)
{
    (void)info;
    for (int i = 0; i < count; i++) {
        const char *value = strchr(arguments[i], '=');
        if (!value) {
            return -1;
        }
        value++;
        const uint64_t number = strtoull(value, NULL, 0);
        if (!strncmp(arguments[i], "begin=", 6)) {
            begin_address = number & ~1ull;
        } else if (!strncmp(arguments[i], "end=", 4)) {
            end_address = number & ~1ull;
        } else if (!strncmp(arguments[i], "lo=", 3)) {
            low = number;
        } else if (!strncmp(arguments[i], "hi=", 3)) {
            high = number;
        } else if (!strncmp(arguments[i], "out=", 4)) {
            path = strdup(value);
        }
    }
    slots = high > low ? calloc((high - low) / 2, sizeof *slots) : NULL;
    if (!path || !slots) {
        fputs("instruction_profile: out=FILE and lo < hi are needed\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    return 0;
}
