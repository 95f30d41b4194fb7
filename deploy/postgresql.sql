-- A database for the store of a team:  psql -U postgres -f postgresql.sql
-- Afterwards give the roles their passwords: \password osupdate, and \password osupdate_reader

CREATE ROLE osupdate LOGIN;         -- the service and the people: it owns the tables
CREATE ROLE osupdate_reader LOGIN;  -- dashboards: may look, and nothing else

CREATE DATABASE osupdate OWNER osupdate ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE osupdate FROM PUBLIC;
GRANT CONNECT ON DATABASE osupdate TO osupdate_reader;

\connect osupdate
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT ALL ON SCHEMA public TO osupdate;
GRANT USAGE ON SCHEMA public TO osupdate_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE osupdate IN SCHEMA public GRANT SELECT ON TABLES TO osupdate_reader;
