/*
 * Generates code into a malloc'd buffer and jumps straight into it.
 *
 * Nothing is asked, so nothing is refused: heap memory has not been executable
 * for two decades, and the jump ends in SIGSEGV.
 */
#include "example.h"

int main(void)
{
	void *code = malloc(6);

	if (!report("malloc", code != NULL))
		return REFUSED;
	emit_return(code, 1001);
	call_code(code);
	free(code);
	return GRANTED;
}
