/*
 * bare_echo.c: sends back a line for each line on descriptor 3: what a QMP server could reach whose
 * commands cost nothing. The lines are as long as the answer to a no-op.
 */
#include <string.h>
#include <unistd.h>

#include "bare.h"

enum { SERVER = 3 };

int main(void)
{
    static const char greeting[] = "{\"QMP\": {}}\r\n";
    static const char answer[] = "{\"return\": {\"name\":\"pc\"}}\r\n";
    char input[65536];
    ssize_t n;

    if (write(SERVER, greeting, strlen(greeting)) < 0)
        die("write");
    while ((n = read(SERVER, input, sizeof(input))) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (input[i] == '\n' && write(SERVER, answer, strlen(answer)) < 0)
                die("write");
    return 0;
}
