/*
 * Asks for executable pages in an allocation so large that malloc maps it.
 *
 * Refused by: SELinux (execmem, where execheap would refuse the small one),
 * MDWE, a seccomp filter.
 * Compare with jit_memalign_small.c: only the size differs.
 */
#include "example.h"

#define LENGTH (1024 * PAGE)

int main(void)
{
	void *code = NULL;

	errno = posix_memalign(&code, PAGE, LENGTH);
	if (!report("posix_memalign(1024 pages)", errno == 0))
		return REFUSED;
	say("the pages are %s the brk heap\n", code < sbrk(0) ? "inside" : "outside");
	emit_return(code, 1001);
	if (!report("mprotect(RX)", mprotect(code, LENGTH, PROT_READ | PROT_EXEC) == 0))
		return REFUSED;
	call_code(code);

	if (!report("mprotect(RW)", mprotect(code, LENGTH, PROT_READ | PROT_WRITE) == 0))
		return REFUSED;
	free(code);
	return GRANTED;
}
