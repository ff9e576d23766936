#include "shard/datetime.h"

#define US_PER_S 1000000

struct reader {
    const char *at;
    const char *end;
};

static bool next_is(const struct reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

static bool take(struct reader *r, char c)
{
    if (!next_is(r, c)) {
        return false;
    }
    r->at++;
    return true;
}

static bool digit(const struct reader *r)
{
    return r->at < r->end && *r->at >= '0' && *r->at <= '9';
}

/* Exactly `digits` of them, with a value of min..max. */
static bool number(struct reader *r, unsigned digits, unsigned min, unsigned max, unsigned *out)
{
    unsigned n = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (!digit(r)) {
            return false;
        }
        n = n * 10 + (unsigned)(*r->at++ - '0');
    }
    *out = n;
    return n >= min && n <= max;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days since 1970-01-01. The year is counted from March, so that the leap day is its last and the
 * days before a month are a straight line of the month's number. */
static int64_t days_since_epoch(unsigned year, unsigned month, unsigned day)
{
    int64_t y = (int64_t)year - (month <= 2 ? 1 : 0);
    int64_t m = month <= 2 ? month + 9 : month - 3;
    int64_t leap_days = (y >= 0 ? y / 4 - y / 100 + y / 400 : -1);
    return y * 365 + leap_days + (153 * m + 2) / 5 + (int64_t)day - 1 - 719468;
}

static bool take_date(struct reader *r, int64_t *days)
{
    unsigned year;
    unsigned month;
    unsigned day;
    if (!number(r, 4, 0, 9999, &year) || !take(r, '-') || !number(r, 2, 1, 12, &month) ||
        !take(r, '-') || !number(r, 2, 1, 31, &day) || day > days_in_month(year, month)) {
        return false;
    }
    *days = days_since_epoch(year, month, day);
    return true;
}

/* ".678" or ",678": at least one digit, any number of them. */
static bool take_fraction(struct reader *r, int64_t *us)
{
    *us = 0;
    if (!take(r, '.')) {
        return true;
    }
    if (!digit(r)) {
        return false;
    }
    for (int64_t unit = US_PER_S / 10; digit(r); unit /= 10) {
        *us += unit * (*r->at++ - '0');
    }
    return true;
}

static bool take_time(struct reader *r, int64_t *us)
{
    unsigned hour;
    unsigned minute;
    unsigned second = 0;
    int64_t fraction = 0;
    if (!number(r, 2, 0, 23, &hour) || !take(r, ':') || !number(r, 2, 0, 59, &minute)) {
        return false;
    }
    if (take(r, ':') && (!number(r, 2, 0, 60, &second) || !take_fraction(r, &fraction))) {
        return false;
    }
    *us = ((int64_t)hour * 3600 + (int64_t)minute * 60 + second) * US_PER_S + fraction;
    return true;
}

/* "Z", "+02:00", "-0230", "+02"; nothing is UTC. */
static bool take_zone(struct reader *r, int64_t *offset_us)
{
    *offset_us = 0;
    if (take(r, 'Z') || take(r, 'z')) {
        return true;
    }
    bool east = next_is(r, '+');
    if (!east && !next_is(r, '-')) {
        return true;
    }
    r->at++;
    unsigned hours;
    unsigned minutes = 0;
    if (!number(r, 2, 0, 23, &hours)) {
        return false;
    }
    bool colon = take(r, ':');
    if ((colon || digit(r)) && !number(r, 2, 0, 59, &minutes)) {
        return false;
    }
    int64_t us = ((int64_t)hours * 3600 + (int64_t)minutes * 60) * US_PER_S;
    *offset_us = east ? us : -us;
    return true;
}

bool datetime_parse(struct slice text, int64_t *us_out)
{
    if (text.len == 0) {
        return false;
    }
    struct reader r = { .at = text.data, .end = text.data + text.len };
    int64_t days;
    int64_t time_us = 0;
    int64_t offset_us = 0;
    if (!take_date(&r, &days)) {
        return false;
    }
    if (r.at < r.end) {
        bool separator = take(&r, 'T') || take(&r, 't') || take(&r, ' ');
        if (!separator || !take_time(&r, &time_us)) {
            return false;
        }
        (void)take(&r, ' '); /* "2024-01-02 03:04:05 +02:00" */
        if (!take_zone(&r, &offset_us)) {
            return false;
        }
    }
    if (r.at != r.end) {
        return false;
    }
    *us_out = days * 86400 * US_PER_S + time_us - offset_us;
    return true;
}
