#include "outcome.h"

#include "json_line.h"

enum ss_class outcome_refused(const char *path, const char *kind, const struct ss_judgement *why, bool json)
{
    if (!json)
        return report_judgement(path, why);
    json_t *object = json_line_file(path, kind);
    json_line_text(object, "action", "refused");
    json_line_judgement(object, why);
    json_line_print(object);
    return ss_finding_text(why->finding)->class;
}

json_t *outcome_done(const char *path, const char *kind, const char *action)
{
    json_t *object = json_line_file(path, kind);

    json_line_text(object, "action", action);
    json_line_number(object, "exit", SS_CLASS_INTACT);
    return object;
}
