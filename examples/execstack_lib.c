/*
 * A library that asks for an executable stack, though it has no use for one:
 * it is linked with -z execstack. See dlopen_execstack.c.
 */
int execstack_answer(void)
{
	return 1001;
}
