/*
 * Counts the instructions of an emulated program: a TCG plugin for QEMU's user mode.
 *
 * Every getsid system call of the program is a mark. For each mark one line is written to the file named by the
 * argument out=FILE: instructions executed so far, and how many of them were dot products of 8-bit integers (SDOT).
 * Counts are exact for a program of one thread; a translation block that is left in its middle counts whole.
 *
 *     cc -O2 -shared -fPIC -o instruction_counter.so instruction_counter.c
 *     qemu-aarch64 -cpu cortex-a76 -plugin ./instruction_counter.so,out=marks.txt PROGRAM
 *
 * Debian ships no qemu-plugin.h, so what is used of version 1 of the plugin interface (QEMU 4.2 to 8.x) is declared
 * here. An emulator of another interface version refuses the plugin.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *block, int operation, void *counter,
                                              uint64_t added);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id,
                                          void (*callback)(plugin_id, unsigned int, int64_t, uint64_t, uint64_t,
                                                           uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                                                           uint64_t));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv);
EXPORT int qemu_plugin_version = 1;

static const int64_t GETSID_ON_ARM64 = 156;
static uint64_t instructions;
static uint64_t dot_products;
static FILE *marks;

/* SDOT, by vector and by element (Arm Architecture Reference Manual, A64 SIMD: U = 0, size = 10). */
static int is_dot_product(uint32_t code)
{
    return (code & 0xBFE0FC00u) == 0x0E809400u || (code & 0xBFC0F400u) == 0x0F80E000u;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *block)
{
    size_t n_instructions = qemu_plugin_tb_n_insns(block);
    uint64_t n_dot_products = 0;

    for (size_t index = 0; index < n_instructions; index++) {
        uint32_t code;
        memcpy(&code, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, index)), sizeof code);
        n_dot_products += is_dot_product(code);
    }
    qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &instructions, n_instructions);
    if (n_dot_products > 0)
        qemu_plugin_register_vcpu_tb_exec_inline(block, INLINE_ADD_U64, &dot_products, n_dot_products);
}

static void on_system_call(plugin_id id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2, uint64_t a3,
                           uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    if (number != GETSID_ON_ARM64)
        return;
    fprintf(marks, "%" PRIu64 " %" PRIu64 "\n", instructions, dot_products);
    fflush(marks);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fprintf(stderr, "instruction_counter: expected the one argument out=FILE\n");
        return -1;
    }
    marks = fopen(argv[0] + 4, "w");
    if (marks == NULL) {
        perror(argv[0] + 4);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
