"""The routes, a file a concern. Who may call each is said in `api.app.ACCESS`."""
