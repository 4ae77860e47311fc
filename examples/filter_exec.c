/*
 * filter_exec [-e ERRNO | -k | -t] COMMAND...
 *
 * Runs a command under a seccomp filter that refuses mprotect and
 * pkey_mprotect with PROT_EXEC:
 *   -e ERRNO  with this error number; 0 makes the call look granted (EPERM)
 *   -k        by killing the process
 *   -t        with the signal SIGSYS
 *
 * mmap with PROT_EXEC stays allowed: the loader needs it to start anything.
 */
#include "launcher.h"

static void install(unsigned int action)
{
	struct sock_filter program[] = {
		LOAD(arch),
		IF_EQUAL(AUDIT_ARCH_X86_64, 0, 6),
		LOAD(nr),
		IF_EQUAL(SYS_mprotect, 1, 0),
		IF_EQUAL(SYS_pkey_mprotect, 0, 3),
		LOAD_ARGUMENT(2),
		IF_ANY_BIT(PROT_EXEC, 0, 1),
		ANSWER(action),
		ANSWER(SECCOMP_RET_ALLOW),
	};

	INSTALL(program);
}

int main(int argc, char **argv)
{
	unsigned int action = REFUSE(EPERM);
	int option;

	/* The + leaves the command's own options alone. */
	while ((option = getopt(argc, argv, "+e:kt")) != -1) {
		if (option == 'e')
			action = REFUSE(atoi(optarg));
		else if (option == 'k')
			action = SECCOMP_RET_KILL_PROCESS;
		else if (option == 't')
			action = SECCOMP_RET_TRAP;
		else
			return 2;
	}
	if (optind == argc) {
		fprintf(stderr, "usage: filter_exec [-e ERRNO | -k | -t] COMMAND...\n");
		return 2;
	}
	install(action);
	return run_command(argv + optind);
}
