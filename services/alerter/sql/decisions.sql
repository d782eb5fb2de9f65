-- What people decided; the API tells it again too, but perhaps later than we act.
SELECT value FROM decisions FINAL WHERE value != '' AND NOT startsWith(key, 'feedback:')
