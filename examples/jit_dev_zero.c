/*
 * Maps /dev/zero where others use MAP_ANONYMOUS, writes code, makes it
 * executable.
 *
 * Refused by: SELinux (execmod: the mapping has a file, and was written to),
 * MDWE, a seccomp filter.
 */
#include "example.h"

#include <fcntl.h>

int main(void)
{
	int fd = open("/dev/zero", O_RDWR);
	void *code;

	if (!report("open(/dev/zero)", fd != -1))
		return REFUSED;
	code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	if (!report("mmap(RW, private /dev/zero)", code != MAP_FAILED))
		return REFUSED;
	emit_return(code, 1001);
	if (!report("mprotect(RX)", mprotect(code, PAGE, PROT_READ | PROT_EXEC) == 0))
		return REFUSED;
	call_code(code);
	return GRANTED;
}
