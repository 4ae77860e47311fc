/*
 * The usual way of a JIT compiler: map anonymous memory, write the code, make
 * it executable, call it.
 *
 * Refused by: MDWE, SELinux (execmem), a seccomp filter.
 */
#include "example.h"

int main(void)
{
	void *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!report("mmap(RW, anonymous)", code != MAP_FAILED))
		return REFUSED;
	emit_return(code, 1001);
	if (!report("mprotect(RX)", mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0))
		return REFUSED;
	call_code(code);
	return GRANTED;
}
