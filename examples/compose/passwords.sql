-- Passwords of the roles that `reporter db grants` makes without any; from the environment, so that no command line shows them.
\getenv reporter REPORTER_PASSWORD
\getenv job JOB_PASSWORD
\getenv asker ASKER_PASSWORD
ALTER ROLE reporter_reporter PASSWORD :'reporter';
ALTER ROLE reporter_job PASSWORD :'job';
ALTER ROLE reporter_asker PASSWORD :'asker';
