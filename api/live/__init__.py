"""Live quizzes: POST /api/v1/live/sessions opens a room, /ws/quiz is its door.  routes → service → realtime.hub"""
