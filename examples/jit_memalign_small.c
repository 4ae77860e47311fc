/*
 * Asks for an executable page that malloc cut from the brk heap.
 *
 * Refused by: SELinux (execheap), MDWE, a seccomp filter.
 * Compare with jit_memalign_large.c.
 */
#include "example.h"

int main(void)
{
	void *code = NULL;

	errno = posix_memalign(&code, PAGE, PAGE);
	if (!report("posix_memalign(1 page)", errno == 0))
		return REFUSED;
	say("the page is %s the brk heap\n", code < sbrk(0) ? "inside" : "outside");
	emit_return(code, 1001);
	if (!report("mprotect(RX)", mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0))
		return REFUSED;
	call_code(code);

	/* malloc will use the page again, so it must get it back as it was. */
	if (!report("mprotect(RW)", mprotect(code, PAGE, PROT_READ | PROT_WRITE) == 0))
		return REFUSED;
	free(code);
	return GRANTED;
}
