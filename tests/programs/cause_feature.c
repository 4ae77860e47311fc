/* Calls that make something, or set a rule, and are refused for what they ask. */
#include "case.h"
#include <linux/memfd.h>
#include <sys/ptrace.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

#define LONG_NAME "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

static long memfd(const char *name, unsigned flags) { return syscall(SYS_memfd_create, name, flags); }

static long memfd_unknown(void) { return memfd("case", 0x400); }
static long memfd_both(void) { return memfd("case", MFD_EXEC | MFD_NOEXEC_SEAL); }
static long memfd_long_name(void) { return memfd(LONG_NAME LONG_NAME LONG_NAME, 0); }
static long memfd_no_name(void) { return memfd(NULL, 0); }
static long memfd_executable(void) { return memfd("case", MFD_EXEC); }
static long memfd_huge_size(void) { return memfd("case", MFD_HUGETLB | 20U << 26); }
static long huge_size(void) { return mmap_call(NULL, MIB, RW, ANON | MAP_HUGETLB | 20 << 26, -1, 0); }
static long huge_alignment(void)
{
	return mmap_call(map(PAGE, R), 2 * MIB, RW, ANON | MAP_HUGETLB | MAP_FIXED, -1, 0);
}

static long huge_file(void) { return mmap_call(NULL, MIB, R, MAP_PRIVATE | MAP_HUGETLB, open_self(), 0); }
static long key_not_allocated(void) { return syscall(SYS_pkey_mprotect, map(PAGE, R), PAGE, RW, 7); }
static long key_not_allocated_free(void) { return syscall(SYS_pkey_free, 7); }
static long key_flags(void) { return syscall(SYS_pkey_alloc, 1, 0); }
static long secret_flags(void) { return syscall(447, 0x10); }
static long aio_no_events(void)
{
	unsigned long context = 0;

	return syscall(SYS_io_setup, 0, &context);
}

static long aio_no_pointer(void) { return syscall(SYS_io_setup, 1, NULL); }
static long aio_no_context(void) { return syscall(SYS_io_destroy, 0x1000); }
static long remote_advice(void) { return syscall(440, 99, NULL, 0, MADV_COLD, 0); }
static long remote_flags(void) { return syscall(440, 99, NULL, 0, MADV_COLD, 1); }
static long remote_ranges(void) { return syscall(440, -1, NULL, 5000, MADV_COLD, 0xdefaced00000000); }
static long filter_unknown(void) { return syscall(SYS_seccomp, 99, 0, NULL); }

static long aio_too_many(void)
{
	unsigned long context = 0;

	return syscall(SYS_io_setup, 4194305, &context);
}

static long filter_nowhere(void) { return syscall(SYS_seccomp, 1, 0, NULL); }
static long mdwe_bits(void) { return prctl(PR_SET_MDWE, 0x40, 0, 0, 0); }

static long mdwe_taken_back(void)
{
	refuse_exec_gain();
	return prctl(PR_SET_MDWE, 0, 0, 0, 0);
}

/* Sixteen at most; none where the processor has no keys. */
static long too_many_keys(void)
{
	long answer = 0;

	for (int i = 0; i < 20 && answer != -1; i++)
		answer = syscall(SYS_pkey_alloc, 0, 0);
	return answer;
}

static long shadow_stack(void) { return syscall(453, 0, PAGE, 0); }

/* wxtrace is the tracer already. */
static long strict_mode(void) { return prctl(PR_SET_SECCOMP, 1, 0, 0, 0); }
static long trace_me(void) { return ptrace(PTRACE_TRACEME, 0, NULL, NULL); }

static const struct attempt attempts[] = {
	{"memfd-unknown", memfd_unknown},
	{"memfd-both", memfd_both},
	{"memfd-long-name", memfd_long_name},
	{"memfd-no-name", memfd_no_name},
	{"memfd-huge-size", memfd_huge_size},
	{"huge-size", huge_size},
	{"huge-file", huge_file},
	{"huge-alignment", huge_alignment},
	{"key-not-allocated", key_not_allocated},
	{"key-not-allocated-free", key_not_allocated_free},
	{"key-flags", key_flags},
	{"too-many-keys", too_many_keys},
	{"secret-flags", secret_flags},
	{"aio-no-events", aio_no_events},
	{"aio-no-pointer", aio_no_pointer},
	{"aio-no-context", aio_no_context},
	{"remote-advice", remote_advice},
	{"remote-flags", remote_flags},
	{"aio-too-many", aio_too_many},
	{"remote-ranges", remote_ranges},
	{"filter-unknown", filter_unknown},
	{"filter-nowhere", filter_nowhere},
	{"mdwe-bits", mdwe_bits},
	{"mdwe-taken-back", mdwe_taken_back},
	{"shadow-stack", shadow_stack},
	{"memfd-executable", memfd_executable},
	{"trace-me", trace_me},
	/* The last: it works where no filter is in force, and then the program may only exit. */
	{"strict-mode", strict_mode},
};

int main(int argc, char **argv)
{
	return RUN(attempts);
}
