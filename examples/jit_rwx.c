/*
 * Asks for memory that is writable and executable at the same time.
 *
 * Refused by: MDWE, SELinux (execmem), a seccomp filter on mmap.
 */
#include "example.h"

int main(void)
{
	void *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!report("mmap(RWX, anonymous)", code != MAP_FAILED))
		return REFUSED;
	emit_return(code, 1001);
	call_code(code);
	return GRANTED;
}
