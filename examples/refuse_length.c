/*
 * refuse_length LENGTH ERRNO COMMAND...
 *
 * Runs a command under a seccomp filter that refuses only those mprotect calls
 * that are for exactly LENGTH bytes: one call out of many. The loader's calls
 * count too, so take a length only the program uses, as in
 *   refuse_length 4194304 13 build/jit_memalign_large
 * 32-bit programs are refused it as well.
 */
#include "launcher.h"

#define MPROTECT_I386 125

static void install(unsigned long length, int error)
{
	struct sock_filter program[] = {
		LOAD(arch),
		IF_EQUAL(AUDIT_ARCH_I386, 0, 2),
		LOAD(nr),
		IF_EQUAL(MPROTECT_I386, 3, 7),
		IF_EQUAL(AUDIT_ARCH_X86_64, 0, 6),
		LOAD(nr),
		IF_EQUAL(SYS_mprotect, 0, 4),
		LOAD_ARGUMENT(1),
		IF_EQUAL((unsigned int)length, 0, 2),
		LOAD_ARGUMENT_HIGH(1),
		IF_EQUAL((unsigned int)(length >> 32), 1, 0),
		ANSWER(SECCOMP_RET_ALLOW),
		ANSWER(REFUSE(error)),
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
