/*
 * Like jit_anon.c, but does not look at what mprotect answered.
 *
 * Refused by: MDWE, SELinux (execmem), a seccomp filter. The refusal goes
 * unnoticed; what the user sees is a SIGSEGV a moment later.
 */
#include "example.h"

int main(void)
{
	void *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!report("mmap(RW, anonymous)", code != MAP_FAILED))
		return REFUSED;
	emit_return(code, 1001);
	say("mprotect(RX): not looking\n");
	mprotect(code, PAGE, PROT_READ | PROT_EXEC);
	call_code(code);
	return GRANTED;
}
