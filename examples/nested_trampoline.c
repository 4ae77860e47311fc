/*
 * Passes the address of a nested function, a GCC extension: GCC writes a
 * trampoline to the stack, so the program is linked for an executable stack.
 *
 * Refused by: nobody. exec sets the protection of the stack itself, and asks
 * neither MDWE nor SELinux. Linked with -z noexecstack the program crashes.
 */
#include "example.h"

int main(void)
{
	int numbers[] = {30, 10, 50, 20, 40};
	int comparisons = 0;

	int ascending(const void *a, const void *b)
	{
		comparisons++;
		return *(const int *)a - *(const int *)b;
	}

	say("calling qsort with a trampoline\n");
	qsort(numbers, 5, sizeof(int), ascending);
	say("sorted: %d %d %d %d %d (%s)\n", numbers[0], numbers[1], numbers[2], numbers[3], numbers[4],
	    comparisons ? "the nested function counted along" : "the nested function was not called");
	return GRANTED;
}
