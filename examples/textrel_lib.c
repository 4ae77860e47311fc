/*
 * A library with a text relocation: it is built without -fPIC, so the address
 * of `answer` is part of an instruction, and the loader has to patch the code.
 * See dlopen_textrel.c.
 */
int answer = 1001;

int textrel_answer(void)
{
	return answer;
}
