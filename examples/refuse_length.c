/*
 * refuse_length LENGTH ERRNO COMMAND...
 *
 * Runs a command under a seccomp filter that refuses only those mprotect calls
 * that are for exactly LENGTH bytes: one call out of many. The loader's calls
 * count too, so take a length only the program uses, as in
 *   refuse_length 4194304 13 build/jit_memalign_large
 */
#include "launcher.h"

static void install(unsigned long length, int error)
{
	struct sock_filter program[] = {
		LOAD(arch),
		IF_EQUAL(AUDIT_ARCH_X86_64, 0, 7),
		LOAD(nr),
		IF_EQUAL(SYS_mprotect, 0, 5),
		LOAD_ARGUMENT(1),
		IF_EQUAL((unsigned int)length, 0, 3),
		LOAD_ARGUMENT_HIGH(1),
		IF_EQUAL((unsigned int)(length >> 32), 0, 1),
		ANSWER(REFUSE(error)),
		ANSWER(SECCOMP_RET_ALLOW),
	};

	INSTALL(program);
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: refuse_length LENGTH ERRNO COMMAND...\n");
		return 2;
	}
	install(strtoul(argv[1], NULL, 0), atoi(argv[2]));
	return run_command(argv + 3);
}
