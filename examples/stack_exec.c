/*
 * Makes two pages of its own stack executable: the upper one alone, then the
 * lower one together with all of the stack below it (PROT_GROWSDOWN), which is
 * how the C library does it.
 *
 * Refused by: SELinux (execstack), MDWE, a seccomp filter.
 */
#include "example.h"

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)

int main(void)
{
	_Alignas(PAGE) unsigned char stack[2 * PAGE];
	unsigned char *lower = stack, *upper = stack + PAGE;
	bool one_page, all_below;

	emit_return(upper, 1001);
	one_page = report("mprotect(RWX) of one page", mprotect(upper, PAGE, RWX) == 0);
	if (one_page)
		call_code(upper);

	emit_return(lower, 1002);
	all_below = report("mprotect(RWX|GROWSDOWN) of the rest",
			   mprotect(lower, PAGE, RWX | PROT_GROWSDOWN) == 0);
	if (all_below)
		call_code(lower);
	return one_page && all_below ? GRANTED : REFUSED;
}
