/*
 * mdwe COMMAND...
 *
 * Runs a command under MDWE, Memory-Deny-Write-Execute: no memory may be both
 * writable and executable, and none may become executable later, EACCES. It is
 * what MemoryDenyWriteExecute= in a systemd unit sets, and every child has it.
 *
 * Kernels before 6.3 do not have it. There a seccomp filter takes its place,
 * as older systemd does; it refuses more, and with EPERM.
 */
#include "launcher.h"

#include <sys/shm.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static void install_substitute(void)
{
	struct sock_filter program[] = {
		LOAD(arch),
		IF_EQUAL(AUDIT_ARCH_X86_64, 0, 12),
		LOAD(nr),
		IF_EQUAL(SYS_mmap, 3, 0),
		IF_EQUAL(SYS_mprotect, 5, 0),
		IF_EQUAL(SYS_pkey_mprotect, 4, 0),
		IF_EQUAL(SYS_shmat, 5, 7),
		/* mmap: both W and X? */
		LOAD_ARGUMENT(2),
		MASK(PROT_WRITE | PROT_EXEC),
		IF_EQUAL(PROT_WRITE | PROT_EXEC, 5, 4),
		/* mprotect: X at all? */
		LOAD_ARGUMENT(2),
		IF_ANY_BIT(PROT_EXEC, 3, 2),
		/* shmat: X at all? */
		LOAD_ARGUMENT(2),
		IF_ANY_BIT(SHM_EXEC, 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(REFUSE(EPERM)),
	};

	INSTALL(program);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: mdwe COMMAND...\n");
		return 2;
	}
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0) {
		if (errno != EINVAL)
			die("PR_SET_MDWE");
		fprintf(stderr, "mdwe: this kernel has no MDWE, so a seccomp filter answers EPERM instead.\n");
		install_substitute();
	}
	return run_command(argv + 1);
}
