/*
 * Writes code into a private mapping of a file, which gives the process its
 * own copy of the page, then makes that copy executable.
 *
 * Refused by: SELinux (execmod), MDWE, a seccomp filter, a noexec mount
 * (set TMPDIR to choose where the file is).
 */
#include "example.h"

int main(void)
{
	int fd = temporary_file();
	void *code;

	if (fd == -1)
		return REFUSED;
	code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (!report("mmap(RW, private file)", code != MAP_FAILED))
		return REFUSED;
	emit_return(code, 1001);
	if (!report("mprotect(RX)", mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0))
		return REFUSED;
	call_code(code);
	return GRANTED;
}
